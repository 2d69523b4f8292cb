-- Calls of Asterisk or FreePBX, from the table cdr in MySQL or MariaDB (FreePBX: database asteriskcdrdb).
--
-- The parameters start and end bound the window, end left out; calldate is compared as it stands, its index is used.
--
-- What must be known to adapt this
--   * calldate is the local time of Asterisk's machine at the call's beginning. Name its time zone in the settings
--     (datasets.calls.time_zone) where it is not the business's. A row is written when the call ends: a call over
--     midnight comes one day later, and the next runs take it (lookback_days).
--   * One call is several rows: transfers, queues and ring groups. linkedid is the same in all of them; uniqueid and
--     sequence tell the legs apart. Without linkedid (Asterisk before 1.8, or not kept by cdr_adaptive_odbc.conf)
--     take uniqueid for call_id.
--   * recordingfile is FreePBX's, a name without folder; the folder is the day of the call. Without FreePBX write
--     Set(CDR(recordingfile)=…) into the dialplan, or leave both columns out and let the name's fields find the call.
--   * disposition tells ANSWERED, NO ANSWER, BUSY, FAILED. billsec counts from the answer.
--   * MyISAM tables, FreePBX's older default, have no transactions: a row may come that began during the extract.
SELECT
    linkedid,
    CONCAT(uniqueid, '.', sequence) AS leg,
    calldate,
    billsec,
    src,
    dst,
    channel,
    dstchannel,
    disposition,
    did,
    cnum,
    cnam,
    accountcode,
    userfield,
    lastapp,
    CASE WHEN recordingfile <> '' THEN CONCAT(DATE_FORMAT(calldate, '%Y/%m/%d/'), recordingfile) END AS recording
FROM cdr
WHERE calldate >= :start AND calldate < :end
ORDER BY calldate, uniqueid, sequence
