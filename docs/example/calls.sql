-- The calls that started in the window; voxkeep binds :start and :end in the source's own time zone.
SELECT
    call_no, start_time, talk_seconds, extension, called, display_number, call_state, recording, case_no, remark
FROM cdr
WHERE start_time >= :start AND start_time < :end
ORDER BY start_time, call_no
