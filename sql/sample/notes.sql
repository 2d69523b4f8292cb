-- Collection notes 催记 of the sample's collection system, from the table notes.
--
-- The parameters start and end bound the window, end left out, by the time of writing. A note belongs to the day
-- on which it was written, which may be later than its call's.
--
-- To adapt this to a system of your own, replace the table and the columns, and keep the id of the call. Amounts
-- are text, so that no digit is lost on the way.
SELECT
    call_no,
    written_at,
    催记内容,
    承诺还款日,
    金额
FROM notes
WHERE written_at >= :start AND written_at < :end
ORDER BY written_at, id
