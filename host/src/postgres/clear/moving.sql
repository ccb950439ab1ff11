    -- Of more things than one transaction can lock, or move in its time, many are moved
    -- here: everybody may make large objects, and who may create in a schema nearly all others.
    FOR object IN
        SELECT s.classid, s.objid, c.relkind
        FROM pg_shdepend s
        LEFT JOIN pg_class c ON s.classid = 'pg_class'::regclass AND c.oid = s.objid
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'o' AND s.dbid = here
            -- A sequence of a column goes with its table.
            AND (s.classid NOT IN ('pg_class'::regclass, 'pg_namespace'::regclass, 'pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
                 OR c.relkind IN ('r', 'p', 'v', 'm', 'f')
                 OR c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                     AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
            AND {may_have}
        OFFSET 500 LIMIT 200000
    LOOP
        -- A new owner has to be one who may create in the schema: that is lent to it, and
        -- never committed.
        IF NOT lends THEN
            EXECUTE format('GRANT sym_graveyard TO %I', heir);
            lends := true;
        END IF;
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY[[NULL, CASE
                WHEN object.classid = 'pg_largeobject'::regclass THEN format('ALTER LARGE OBJECT %s OWNER TO %I', object.objid, heir)
                WHEN object.classid = 'pg_type'::regclass THEN format('ALTER TYPE %s OWNER TO %I', object.objid::regtype, heir)
                WHEN object.classid = 'pg_class'::regclass THEN format('ALTER TABLE %s OWNER TO %I', object.objid::regclass, heir)
                WHEN object.classid <> 'pg_proc'::regclass THEN (
                    -- What has no OWNER by that name is refused, and left to what comes after.
                    SELECT format('ALTER %s %s OWNER TO %I', CASE part.type WHEN 'statistics object' THEN 'STATISTICS'
                        WHEN 'foreign-data wrapper' THEN 'FOREIGN DATA WRAPPER' ELSE part.type END, part.identity, heir)
                    FROM pg_identify_object(object.classid, object.objid, 0) part)
                ELSE (SELECT format('ALTER %s %I.%I(%s) OWNER TO %I', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                          n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), heir)
                      FROM pg_proc p
                      JOIN pg_namespace n ON n.oid = p.pronamespace
                      WHERE p.oid = object.objid AND p.prokind <> 'a')
            END]];
