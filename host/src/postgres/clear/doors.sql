    -- What PostgreSQL asks a right for when it is made, and never again. It may be somebody
    -- else's table, whose readers would wait behind this: so the first that is locked ends the list.
    --
    -- With a part of it, all of an extension would be dropped, and what everybody has built on
    -- that: so each part is taken out of it first, and where that isn't ours, nothing is dropped.
    FOR object IN
        SELECT rights.statement, rights.classid, rights.objid FROM ({rights}) AS rights
    LOOP
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY[[NULL, concat(
                (WITH RECURSIVE dropped (classid, objid) AS (
                     SELECT object.classid, object.objid WHERE object.classid IS NOT NULL
                     UNION
                     SELECT next.classid, next.objid
                     FROM dropped, LATERAL (
                         SELECT d.classid, d.objid FROM pg_depend d
                         WHERE d.refclassid = dropped.classid AND d.refobjid = dropped.objid AND d.deptype NOT IN ('e', 'x')
                         UNION ALL
                         SELECT d.refclassid, d.refobjid FROM pg_depend d
                         WHERE d.classid = dropped.classid AND d.objid = dropped.objid AND d.deptype IN ('i', 'P', 'S')) next)
                 SELECT string_agg(format('ALTER EXTENSION %I DROP %s %s; ', e.extname, part.type, part.identity), '')
                 FROM dropped
                 JOIN pg_depend d ON d.classid = dropped.classid AND d.objid = dropped.objid AND d.deptype = 'e'
                 JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid,
                 LATERAL pg_identify_object(dropped.classid, dropped.objid, 0) part
                 -- The types of a table go with it.
                 WHERE NOT (dropped.classid = 'pg_type'::regclass
                            AND EXISTS (SELECT FROM pg_depend i WHERE i.classid = dropped.classid AND i.objid = dropped.objid AND i.deptype = 'i'))),
                object.statement)]];
