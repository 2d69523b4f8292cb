-- The trace and the findings of voxkeep by the rule `path`, written for DuckDB as well as we can: a row is counted by
-- windows only where its key stands twice, tails of paths are compared only where no whole path is equal.
-- ${data} and ${out} are folders; threads and memory are set by the caller.

CREATE MACRO clean(number) AS regexp_replace(regexp_replace(number, '[\s\-().]', '', 'g'), '[xX*＊]', '*', 'g');
CREATE MACRO no_country(number) AS regexp_replace(number, '^(?:\+86|0086|86)([0-9*]{7,})$', '\1');
CREATE MACRO no_trunk(number) AS regexp_replace(number, '^(?:0)([0-9*]{7,})$', '\1');
CREATE MACRO digits(number) AS regexp_replace(no_trunk(no_country(clean(number))), '[^0-9*]', '', 'g');
CREATE MACRO normalised(number) AS CASE WHEN regexp_matches(digits(number), '[0-9]') THEN digits(number) END;

CREATE VIEW all_calls AS SELECT * FROM read_parquet('${data}/calls/*/*.parquet', hive_partitioning = false);
CREATE VIEW all_files AS SELECT * FROM read_parquet('${data}/inventory/*/*.parquet', hive_partitioning = false);
CREATE VIEW all_objects AS SELECT * FROM read_parquet('${data}/listing/*/*.parquet', hive_partitioning = false);

-- What stands twice.
CREATE TEMP TABLE repeated_legs AS SELECT call_uid FROM all_calls GROUP BY call_uid HAVING count(*) > 1;
CREATE TEMP TABLE repeated_files AS SELECT recording_id FROM all_files GROUP BY recording_id HAVING count(*) > 1;
CREATE TEMP TABLE repeated_objects AS SELECT key FROM all_objects GROUP BY key HAVING count(*) > 1;
CREATE TEMP TABLE repeated_bytes AS
    SELECT site, sha256 FROM all_files WHERE size > 0 AND sha256 IS NOT NULL GROUP BY ALL HAVING count(*) > 1;

CREATE TEMP VIEW legs_once AS
    SELECT * FROM all_calls WHERE call_uid NOT IN (FROM repeated_legs)
    UNION ALL
    SELECT * FROM all_calls WHERE call_uid IN (FROM repeated_legs)
    QUALIFY row_number() OVER (PARTITION BY call_uid ORDER BY source_file, source_row) = 1;
CREATE TEMP TABLE calls_of_legs AS
    SELECT site, dataset, call_id, count(*) AS legs FROM legs_once GROUP BY ALL HAVING count(*) > 1;
CREATE TEMP VIEW legs AS
    SELECT business, site, day, dataset, call_uid, call_id, leg, coalesce(c.legs, 1)::UINTEGER AS legs, started_at,
        extension,
        coalesce(
            CASE WHEN callee IS DISTINCT FROM extension THEN normalised(callee) END,
            CASE WHEN caller IS DISTINCT FROM extension THEN normalised(caller) END
        ) AS number,
        talk_seconds, expects_recording, recording_path
    FROM legs_once LEFT JOIN calls_of_legs c USING (site, dataset, call_id);
CREATE TEMP VIEW files AS
    SELECT * FROM all_files WHERE recording_id NOT IN (FROM repeated_files)
    UNION ALL
    SELECT * FROM all_files WHERE recording_id IN (FROM repeated_files)
    QUALIFY row_number() OVER (PARTITION BY recording_id ORDER BY mtime DESC, size DESC, sha256 DESC) = 1;
CREATE TEMP VIEW objects AS
    SELECT key, size, lower(etag) AS etag FROM all_objects WHERE key NOT IN (FROM repeated_objects)
    UNION ALL
    SELECT key, size, lower(etag) FROM all_objects WHERE key IN (FROM repeated_objects)
    QUALIFY row_number() OVER (PARTITION BY key ORDER BY last_modified DESC, size DESC, etag DESC) = 1;

-- Whole paths, then tails of them.
CREATE TEMP TABLE exact AS
    SELECT l.call_uid, l.site, l.dataset, l.call_id, l.leg, f.recording_id, 1.0 AS score,
        'the row names this file' AS reason
    FROM legs_once l JOIN files f ON l.site = f.site AND l.recording_path = f.path;
CREATE TEMP TABLE tails AS
    WITH naming AS (
        SELECT *, regexp_extract(recording_path, '([^/]+)$', 1) AS base FROM legs_once
        WHERE recording_path IS NOT NULL AND call_uid NOT IN (SELECT call_uid FROM exact)
    ), named AS (
        SELECT *, regexp_extract(path, '([^/]+)$', 1) AS base FROM files
        WHERE recording_id NOT IN (SELECT recording_id FROM exact)
    ), pairs AS (
        SELECT l.call_uid, l.site, l.dataset, l.call_id, l.leg, f.recording_id, f.path, l.recording_path,
            '/' || ltrim(l.recording_path, '/') AS row_path, '/' || f.path AS file_path
        FROM naming l JOIN named f USING (site, base)
    )
    SELECT *, least(strlen(row_path), strlen(file_path)) AS alike FROM pairs
    WHERE ends_with(file_path, row_path)
        OR (ends_with(row_path, file_path) AND regexp_matches(recording_path, '^(/|[A-Za-z]:/|[a-z][a-z0-9+.-]*://)'))
    QUALIFY alike = max(alike) OVER (PARTITION BY call_uid);
CREATE TEMP TABLE candidates AS
    SELECT * FROM exact
    UNION ALL BY NAME
    SELECT call_uid, site, dataset, call_id, leg, recording_id, 0.95 AS score,
        'the row names ' || recording_path || ', which only this file ends with' AS reason
    FROM tails QUALIFY count(*) OVER (PARTITION BY call_uid) = 1;
CREATE TEMP TABLE asked_twice AS
    SELECT recording_id, count(DISTINCT (site, dataset, call_id)) AS calls,
        array_to_string(list_sort(list(DISTINCT call_id))[:5], ', ') AS named
    FROM candidates
    WHERE recording_id IN (SELECT recording_id FROM candidates GROUP BY recording_id HAVING count(*) > 1)
    GROUP BY recording_id;
CREATE TEMP TABLE ties AS
    SELECT recording_id, 'fits ' || calls || ' calls equally well: ' || named AS tie FROM asked_twice WHERE calls > 1;
CREATE TEMP TABLE tied_legs AS SELECT DISTINCT call_uid FROM candidates WHERE recording_id IN (SELECT recording_id FROM ties);
CREATE TEMP VIEW links AS
    SELECT * FROM candidates WHERE recording_id NOT IN (SELECT recording_id FROM asked_twice)
    UNION ALL
    SELECT * FROM candidates WHERE recording_id IN (SELECT recording_id FROM asked_twice WHERE calls = 1)
    QUALIFY row_number() OVER (PARTITION BY recording_id ORDER BY leg, call_uid) = 1;
CREATE TEMP TABLE clock AS
    SELECT f.site, l.day, round(median(date_diff('microsecond', l.started_at, f.started_at))) / 1e6 AS offset_seconds,
        count(*) AS matches
    FROM links JOIN files f USING (recording_id) JOIN legs_once l ON l.call_uid = links.call_uid
    WHERE f.started_at IS NOT NULL AND l.started_at IS NOT NULL GROUP BY ALL HAVING count(*) >= 5;

CREATE TEMP TABLE rows AS
    WITH recordings AS (
        SELECT f.business, f.site, coalesce(l.day, f.day) AS day, l.dataset, l.call_uid, l.call_id, l.legs,
            f.recording_id, f.path, coalesce(l.started_at, f.started_at) AS started_at,
            coalesce(l.extension, f.extension) AS extension, coalesce(l.number, normalised(f.number)) AS number,
            l.talk_seconds, f.duration_ms, f.size, f.mtime, f.sha256, f.md5, f.container, f.codec, f.state,
            strftime(f.day, '%Y-%m-%d') || '/' || left(f.recording_id, 2) || '/' || f.recording_id || '.'
                || left(f.sha256, 12) || lower(regexp_extract(f.path, '(\.[A-Za-z0-9]{1,8})$', 1)) AS key,
            l.expects_recording, l.call_uid IS NOT NULL AS called, true AS on_site,
            CASE WHEN l.call_uid IS NOT NULL THEN 'path' END AS match, links.score,
            coalesce(links.reason, ties.tie) AS reason, ties.recording_id IS NOT NULL AS ambiguous
        FROM files f
        LEFT JOIN links USING (recording_id)
        LEFT JOIN legs l ON l.call_uid = links.call_uid
        LEFT JOIN ties USING (recording_id)
    ), without AS (
        SELECT l.*, call_uid IN (FROM tied_legs) AS tied FROM legs l
        WHERE call_uid NOT IN (SELECT call_uid FROM links)
    ), calls_without AS (
        SELECT business, site, day, dataset, call_uid, call_id, legs, recording_path AS path, started_at, extension,
            number, talk_seconds, bool_or(expects_recording) OVER unit AS expects_recording, true AS called,
            false AS on_site, bool_or(tied) OVER unit AS ambiguous
        FROM without
        WINDOW unit AS (PARTITION BY site, dataset, call_id, coalesce(recording_path, ''))
        QUALIFY row_number() OVER (
            PARTITION BY site, dataset, call_id, coalesce(recording_path, '')
            ORDER BY NOT without.expects_recording, started_at NULLS LAST, leg
        ) = 1
    )
    SELECT r.*, o.key IS NOT NULL AS published,
        CASE WHEN o.key IS NOT NULL THEN
            o.size = r.size AND (NOT coalesce(regexp_matches(o.etag, '^[0-9a-f]{32}$'), false) OR o.etag = r.md5)
        END AS content_ok
    FROM recordings r LEFT JOIN objects o USING (key)
    UNION ALL BY NAME
    SELECT * FROM calls_without;

CREATE TEMP TABLE copies AS
    SELECT recording_id, original AS duplicate_of FROM (
        SELECT recording_id, CASE WHEN call_uid IS NULL
            THEN first_value(recording_id) OVER (
                PARTITION BY business, site, sha256 ORDER BY call_uid IS NULL, mtime, strlen(path), path)
            ELSE first_value(recording_id) OVER (
                PARTITION BY business, site, sha256, call_uid ORDER BY call_uid IS NULL, mtime, strlen(path), path)
            END AS original
        FROM rows WHERE size > 0 AND (site, sha256) IN (FROM repeated_bytes)
    ) WHERE original <> recording_id;

CREATE TEMP TABLE placed AS
    SELECT rows.*, copies.duplicate_of,
        CASE WHEN state = 'in_progress' THEN NULL
            WHEN NOT on_site AND expects_recording AND NOT ambiguous THEN 'on_site'
            WHEN NOT published THEN 'published' END AS lost_at
    FROM rows LEFT JOIN copies USING (recording_id);

-- The coverage of a call, over its rows; most calls have one.
CREATE TEMP TABLE calls_of_rows AS
    SELECT site, dataset, call_id FROM placed WHERE called GROUP BY ALL HAVING count(*) > 1;
CREATE MACRO lacks_one(recording_id, duplicate_of, state, lost_at, content_ok, expects_recording, ambiguous) AS
    (recording_id IS NOT NULL AND duplicate_of IS NULL
        AND NOT (state = 'ok' AND lost_at IS NULL AND coalesce(content_ok, true)))
    OR (recording_id IS NULL AND expects_recording) OR ambiguous;
CREATE MACRO coverage(any_file, expects, counts, ambiguous, lacks_one) AS
    CASE WHEN NOT any_file AND NOT expects THEN 'excluded' WHEN NOT counts AND NOT ambiguous THEN 'missing'
        WHEN lacks_one THEN 'partial' ELSE 'complete' END;
CREATE TEMP TABLE coverage_of_several AS
    SELECT site, dataset, call_id, coverage(
            bool_or(recording_id IS NOT NULL), coalesce(bool_or(expects_recording), false),
            bool_or(recording_id IS NOT NULL AND duplicate_of IS NULL), bool_or(ambiguous),
            bool_or(lacks_one(recording_id, duplicate_of, state, lost_at, content_ok, expects_recording, ambiguous))
        ) AS coverage
    FROM placed WHERE called AND (site, dataset, call_id) IN (FROM calls_of_rows) GROUP BY ALL;

CREATE TEMP VIEW trace AS
    SELECT business, site, day, dataset, call_uid, call_id, legs, recording_id, path, started_at, extension, number,
        talk_seconds, duration_ms, size, sha256, container, codec, state, key, expects_recording, called, on_site,
        NULL::BOOLEAN AS in_snapshot, NULL::BOOLEAN AS restored,
        CASE WHEN recording_id IS NOT NULL AND state <> 'in_progress' THEN published END AS published,
        NULL::BOOLEAN AS indexed,
        CASE WHEN recording_id IS NOT NULL AND state <> 'in_progress' THEN content_ok END AS content_ok,
        match, score, reason, ambiguous, duplicate_of, lost_at,
        CASE WHEN s.coverage IS NOT NULL THEN s.coverage WHEN called THEN coverage(
            recording_id IS NOT NULL, coalesce(expects_recording, false),
            recording_id IS NOT NULL AND duplicate_of IS NULL, ambiguous,
            lacks_one(recording_id, duplicate_of, state, lost_at, content_ok, expects_recording, ambiguous)
        ) END AS coverage
    FROM placed LEFT JOIN coverage_of_several s USING (site, dataset, call_id);
COPY (
    FROM trace ORDER BY business, site, day, started_at, call_id, path, call_uid, recording_id
) TO '${out}/trace.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

-- The findings.
CREATE TEMP TABLE of_trace AS
    SELECT *, CASE
            WHEN state = 'in_progress' THEN NULL
            WHEN recording_id IS NOT NULL AND lost_at = 'published' THEN 'recording_lost'
            WHEN NOT content_ok THEN 'content_mismatch'
            WHEN state = 'empty' THEN 'recording_empty'
            WHEN state = 'truncated' THEN 'recording_truncated'
            WHEN state IN ('undecodable', 'unreadable') THEN 'recording_undecodable'
            WHEN ambiguous AND reason IS NOT NULL THEN 'match_ambiguous'
            WHEN lost_at = 'on_site' THEN 'recording_missing'
            WHEN duplicate_of IS NOT NULL THEN 'recording_duplicate'
            WHEN NOT called AND NOT ambiguous THEN 'recording_orphan'
            WHEN call_uid IS NOT NULL AND legs = 1 AND recording_id IS NOT NULL
                AND abs(duration_ms / 1000 - talk_seconds) > greatest(5, talk_seconds * 0.1)
                AND (site, dataset, call_id) NOT IN (FROM calls_of_rows) THEN 'duration_mismatch'
        END AS kind
    FROM trace WHERE kind IS NOT NULL;
-- Hours in which a site or a line lacks recordings and made none.
CREATE TEMP TABLE missing AS
    SELECT business, site, day, extension, date_trunc('hour', started_at) AS hour, dataset, call_id
    FROM of_trace WHERE kind = 'recording_missing' AND day IS NOT NULL AND started_at IS NOT NULL;
CREATE TEMP TABLE heard AS
    SELECT DISTINCT business, site, day, extension, date_trunc('hour', started_at) AS hour
    FROM placed WHERE recording_id IS NOT NULL;
CREATE TEMP TABLE silent_sites AS
    SELECT business, site, day, hour FROM (
        SELECT business, site, day, hour FROM missing GROUP BY ALL HAVING count(DISTINCT (dataset, call_id)) >= 3
    ) m WHERE NOT EXISTS (
        FROM heard h WHERE h.business = m.business AND h.site = m.site AND h.day = m.day
            AND (h.hour = m.hour OR h.hour IS NULL)
    );
CREATE TEMP TABLE silent_lines AS
    SELECT business, site, day, extension, hour FROM (
        SELECT business, site, day, extension, hour FROM missing WHERE extension IS NOT NULL
        GROUP BY ALL HAVING count(DISTINCT (dataset, call_id)) >= 2
    ) m WHERE NOT EXISTS (
        FROM heard h WHERE h.business = m.business AND h.site = m.site AND h.day = m.day
            AND (h.hour = m.hour OR h.hour IS NULL) AND (h.extension = m.extension OR h.extension IS NULL)
    );
CREATE TEMP TABLE found AS
    SELECT kind, business, site, day, call_uid, call_id, recording_id, lost_at,
        CASE WHEN recording_id IS NULL THEN 'called'
            WHEN published AND coalesce(content_ok, true) THEN 'published' ELSE 'on_site' END AS held_at,
        CASE WHEN recording_id IS NULL THEN started_at END AS held_time, size, sha256,
        CASE WHEN state = 'unreadable' AND kind IN ('recording_lost', 'recording_undecodable') THEN 'unreadable_on_site'
            WHEN kind = 'content_mismatch' AND published THEN 'object_damaged'
            WHEN kind <> 'recording_missing' THEN NULL
            WHEN (business, site, day, date_trunc('hour', started_at)) IN (
                SELECT (business, site, day, hour) FROM silent_sites) THEN 'never_recorded_at_site'
            WHEN (business, site, day, extension, date_trunc('hour', started_at)) IN (
                SELECT (business, site, day, extension, hour) FROM silent_lines) THEN 'never_recorded_on_line'
            WHEN talk_seconds < 1 THEN 'never_recorded_too_short'
        END AS cause,
        CASE WHEN recording_id IS NOT NULL OR call_id IS NULL THEN path ELSE 'call ' || call_id END AS subject,
        CASE kind
            WHEN 'recording_lost' THEN
                'at the station before, sha256 ' || left(sha256, 12) || ', ' || size || ' bytes'
            WHEN 'content_mismatch' THEN 'sha256 ' || left(sha256, 12) || ', ' || size || ' bytes'
            WHEN 'recording_empty' THEN 'a recording with audio'
            WHEN 'recording_truncated' THEN 'as many bytes as the header says'
            WHEN 'recording_undecodable' THEN 'a known audio format'
            WHEN 'match_ambiguous' THEN 'one partner that fits best'
            WHEN 'recording_missing' THEN CASE WHEN path IS NULL THEN 'a recording' ELSE 'the file ' || path END
            WHEN 'recording_duplicate' THEN 'content of its own'
            WHEN 'recording_orphan' THEN 'a call that it belongs to'
            ELSE round(talk_seconds, 1) || ' s talked'
        END AS expected,
        CASE kind
            WHEN 'recording_lost' THEN 'not at station ' || lost_at
            WHEN 'content_mismatch' THEN 'a copy has other bytes'
            WHEN 'recording_empty' THEN size || ' bytes without audio'
            WHEN 'recording_truncated' THEN 'the file ends after ' || size || ' bytes'
            WHEN 'recording_undecodable' THEN size || ' bytes with no header that is known'
            WHEN 'match_ambiguous' THEN reason
            WHEN 'recording_missing' THEN 'none on the source disk'
            WHEN 'recording_duplicate' THEN 'the same bytes as recording ' || duplicate_of
            WHEN 'recording_orphan' THEN 'none that fits by any rule'
            ELSE round(duration_ms / 1000, 1) || ' s recorded'
        END AS actual,
        coalesce(recording_id, dataset || chr(10) || call_id || chr(10) || coalesce(path, '')) AS identity
    FROM of_trace
    UNION ALL BY NAME
    SELECT 'call_duplicate' AS kind, first(business) AS business, first(site) AS site, first(day) AS day, call_uid,
        first(call_id) AS call_id, 'call ' || first(call_id) AS subject, 'one row' AS expected,
        count(*) || ' rows: ' || array_to_string(
            list(source_file || ':' || source_row ORDER BY source_file, source_row)[:5], ', ') AS actual,
        call_uid AS identity
    FROM all_calls WHERE call_uid IN (FROM repeated_legs) GROUP BY call_uid
    UNION ALL BY NAME
    SELECT 'clock_skew' AS kind, '${business}' AS business, site, day, 'clock of site ' || site AS subject,
        'at most 60 s apart' AS expected,
        round(offset_seconds, 1) || ' s apart, by ' || matches || ' matches' AS actual, site || ' ' || day AS identity
    FROM clock WHERE abs(offset_seconds) > 60;
COPY (
    SELECT left(sha256(kind || chr(0) || business || chr(0) || site || chr(0) || identity), 16) AS finding_id, kind,
        CASE WHEN kind IN ('recording_lost', 'content_mismatch') THEN 'critical'
            WHEN kind IN ('recording_duplicate', 'duration_mismatch', 'call_duplicate', 'clock_skew') THEN 'minor'
            ELSE 'major' END AS severity,
        business, site, day, call_uid, call_id, recording_id, subject, expected, actual, lost_at,
        held_at, held_time, size, sha256, cause, DATE '${as_of}' AS first_seen, DATE '${as_of}' AS last_seen,
        'open' AS status, DATE '${as_of}' AS status_since, NULL::VARCHAR AS resolution
    FROM found ORDER BY finding_id
) TO '${out}/findings.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);
