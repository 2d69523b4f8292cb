-- Calls 话单 of the sample's telephone system, from the table cdr.
--
-- The parameters start and end bound the window, end left out. They are local times as the table writes them,
-- text such as 2021-01-31 00:00:00, so they compare with the column as it stands and its index is used.
--
-- To adapt this to a system of your own
--   * replace the table and the columns; keep the comparison on the column that has an index, without a function
--   * give each known column a name that the business's rules map, every other column is kept as an attribute
--   * leave out ids that the database counts up by itself, they would make two equal rows look different
--   * tell caller from callee by the direction, the customer is the one that is not the company's
SELECT
    call_no,
    leg,
    start_time,
    talk_seconds,
    agent_extension,
    CASE WHEN direction = '呼入' THEN customer_number END AS caller,
    CASE WHEN direction = '呼出' THEN customer_number END AS callee,
    display_number,
    direction,
    result,
    客户姓名,
    案件编号,
    备注,
    recording_file
FROM cdr
WHERE start_time >= :start AND start_time < :end
ORDER BY start_time, id
