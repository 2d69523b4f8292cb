-- Notes 催记 of a collection system, from PostgreSQL. They belong to the day on which they were written.
--
-- The parameters start and end bound the window, end left out, as local times of the zone named below.
--
-- What must be known to adapt this
--   * A note may be written days after its call, or about none: call_no is then NULL and the note is kept all the same.
--   * Money is numeric and comes with every digit, 1234.50 and not 1234.5.
--   * A note that is corrected later is taken again as long as lookback_days reaches; the older text stays in its backup.
SELECT
    note_no,
    call_no,
    case_no,
    agent_no,
    written_at,
    note,
    promised_on,
    promised_amount
FROM collection_note
WHERE written_at >= CAST(:start AS timestamp) AT TIME ZONE 'Asia/Shanghai'
    AND written_at < CAST(:end AS timestamp) AT TIME ZONE 'Asia/Shanghai'
ORDER BY written_at, note_no
