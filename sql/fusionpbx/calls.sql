-- Calls of FusionPBX (FreeSWITCH), from the table v_xml_cdr in PostgreSQL.
--
-- The parameters start and end bound the window, end left out, as local times of the zone named below.
--
-- What must be known to adapt this
--   * start_stamp has a time zone (timestamptz). Write your own zone in the two places below; in an old installation whose
--     column has none (timestamp), compare with CAST(:start AS timestamp) alone.
--   * The bound values are text: CAST says what they are. A colon that binds nothing, as in the cast a::b, needs a
--     backslash before it.
--   * record_path and record_name are empty where nothing was recorded. The file lies below
--     /var/lib/freeswitch/recordings/<domain>/archive/<year>/<Mon>/<day>, and is named by the call's uuid.
--   * A row is a channel. FusionPBX keeps the b-leg only where its settings say so (cdr.b_leg); leg tells which it is.
--   * json holds the whole call and makes the extract ten times larger: leave it out.
--   * FreeSWITCH without FusionPBX: mod_cdr_pg_csv writes its own table cdr; the columns caller_id_number to hangup_cause
--     are the same, uuid takes the place of xml_cdr_uuid, and there is no recording's name.
SELECT
    xml_cdr_uuid,
    leg,
    start_stamp,
    answer_stamp,
    billsec,
    direction,
    caller_id_name,
    caller_id_number,
    caller_destination,
    destination_number,
    domain_name,
    hangup_cause,
    NULLIF(record_path, '') || '/' || NULLIF(record_name, '') AS recording
FROM v_xml_cdr
WHERE start_stamp >= CAST(:start AS timestamp) AT TIME ZONE 'Asia/Shanghai'
    AND start_stamp < CAST(:end AS timestamp) AT TIME ZONE 'Asia/Shanghai'
ORDER BY start_stamp, xml_cdr_uuid
