-- The collection notes that were written in the window.
SELECT call_no, written_at, note, promised_on, promised_amount
FROM collection_note
WHERE written_at >= :start AND written_at < :end
ORDER BY written_at, call_no
