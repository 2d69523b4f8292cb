-- Calls of a collection system, from PostgreSQL. Every such system has tables of its own: this is the usual shape.
--
-- The parameters start and end bound the window, end left out, as local times of the zone named below.
--
-- What must be known to adapt this
--   * Which time the row has: of dialling, of the answer, or of its writing. Take the one that the recording's name has;
--     the window must be of a column that does not change later, or a call can fall between two days.
--   * The time zone of the column. Here it is timestamptz, and the zone stands in the two places below.
--   * The case's and the customer's number are kept as attributes: people search by them. A number in a numeric column
--     comes digit by digit; ids of 18 digits are safe.
--   * Rows that are corrected later (result, case) come again with the next runs, as long as lookback_days reaches.
SELECT
    call_no,
    started_at,
    talk_seconds,
    agent_no,
    extension,
    called_number,
    display_number,
    result,
    case_no,
    customer_no,
    recording_path
FROM call_log
WHERE started_at >= CAST(:start AS timestamp) AT TIME ZONE 'Asia/Shanghai'
    AND started_at < CAST(:end AS timestamp) AT TIME ZONE 'Asia/Shanghai'
ORDER BY started_at, call_no
