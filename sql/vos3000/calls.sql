-- Calls of VOS3000, from its day tables e_cdr_<yyyymmdd> in MySQL.
--
-- VOS3000 begins a new table each day; {day:%Y%m%d} becomes the business day that is extracted. A call is in the table
-- of the day on which it ended, so the window is that of stoptime. The parameters start and end bound it, end left out.
--
-- What must be known to adapt this
--   * starttime and stoptime are Unix milliseconds. The bound values are local times of the settings' time zone; what
--     is subtracted is 1970-01-01 00:00 UTC by that clock. For another zone than China's (UTC+8) change the 08:00:00;
--     a zone with summer time needs UNIX_TIMESTAMP(CONVERT_TZ(:start, '<zone>', @@session.time_zone)) instead.
--   * A day without its table is an error that names it, and the other days are backed up all the same: VOS3000 makes
--     the table with the first call. Keep `since` in the settings behind the oldest table that is still there.
--   * Where VOS3000 is set to drop old day tables, back up before it does.
--   * flowno is the key. callertogatewaye164 is the number that was shown to the callee.
--   * The recording's file is the recorder's affair, and VOS3000 keeps no name of it: recordings find their call by
--     number and time (matching.order: nearest), or by what their names say.
SELECT
    flowno,
    starttime,
    stoptime,
    holdtime,
    callere164,
    calleee164,
    callertogatewaye164,
    calleetogatewaye164,
    callergatewayid,
    calleegatewayid,
    customeraccount,
    customername,
    endreason
FROM e_cdr_{day:%Y%m%d}
WHERE stoptime >= TIMESTAMPDIFF(SECOND, '1970-01-01 08:00:00', :start) * 1000
    AND stoptime < TIMESTAMPDIFF(SECOND, '1970-01-01 08:00:00', :end) * 1000
ORDER BY stoptime, flowno
