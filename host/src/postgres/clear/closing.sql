    -- Of who still has such things nobody uses any, and nothing runs with its rights: not even
    -- its own, which RI actions, rules and autovacuum use. This waits for no reader. First what
    -- leads somewhere, of which there is little mostly, and of that what has little granted on it:
    -- what takes long is not to keep the others from their turn.
    FOR object IN
        SELECT owned.classid, owned.objid, 0 AS objsubid
        FROM (
            SELECT 'pg_class'::regclass AS classid, c.oid AS objid, CASE WHEN c.relhasrules OR c.relkind = 'f' THEN 1 WHEN c.relhastriggers THEN 2 ELSE 3 END AS rank
            FROM pg_class c
            WHERE c.relowner = ANY ({owners}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                AND (c.relacl IS NULL OR cardinality(c.relacl) > 0
                     OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND cardinality(a.attacl) > 0))
            UNION ALL
            SELECT 'pg_proc'::regclass, p.oid, CASE WHEN p.prosecdef THEN 1 ELSE 3 END
            FROM pg_proc p
            WHERE p.proowner = ANY ({owners}) AND (p.proacl IS NULL OR cardinality(p.proacl) > 0
                OR p.prosecdef AND NOT coalesce('role=none' = ANY (p.proconfig), false))
            UNION ALL
            SELECT 'pg_foreign_server'::regclass, s.oid, 1
            FROM pg_foreign_server s
            WHERE s.srvowner = ANY ({owners})
        ) AS owned
        ORDER BY owned.rank, (SELECT count(*) FROM (SELECT FROM pg_shdepend s
            WHERE s.dbid = here AND s.classid = owned.classid AND s.objid = owned.objid LIMIT 100) s), random()
    LOOP
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY(
                SELECT ARRAY[granted.owner, format('REVOKE ALL ON %s %s FROM %s CASCADE', granted.kind, granted.name, closed.grantees)]
                FROM (
                    SELECT pg_get_userbyid(c.relowner)::text, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text,
                        c.relowner, coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)),
                        EXISTS (SELECT FROM pg_attribute a, unnest(a.attacl) one (entry), aclexplode(ARRAY[one.entry]) acl
                                WHERE a.attrelid = c.oid AND NOT a.attisdropped
                                    AND (acl.grantee = 0 OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantee)))
                    FROM pg_class c WHERE object.classid = 'pg_class'::regclass AND c.oid = object.objid
                    UNION ALL
                    -- By its kind, and with the modes of its arguments: ROUTINE can be ambiguous.
                    SELECT pg_get_userbyid(p.proowner)::text, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                        CASE p.prokind WHEN 'a' THEN p.oid::regprocedure::text
                            ELSE format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) END,
                        p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)), false
                    FROM pg_proc p
                    JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE object.classid = 'pg_proc'::regclass AND p.oid = object.objid
                    UNION ALL
                    SELECT pg_get_userbyid(s.srvowner)::text, 'FOREIGN SERVER', quote_ident(s.srvname), s.srvowner, coalesce(s.srvacl, acldefault('S', s.srvowner)), false
                    FROM pg_foreign_server s WHERE object.classid = 'pg_foreign_server'::regclass AND s.oid = object.objid
                ) AS granted (owner, kind, name, owner_oid, acl, has_columns),
                -- By what hangs on whom, as each column may have an entry for each who has it.
                LATERAL (
                    SELECT concat_ws(', ', 'PUBLIC', string_agg(grantee.oid::regrole::text, ', '))
                    FROM (SELECT granted.owner_oid
                          UNION
                          SELECT s.refobjid FROM pg_shdepend s
                          WHERE s.dbid = here AND s.classid = object.classid AND s.objid = object.objid
                              AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'a') AS grantee (oid)
                ) AS closed (grantees)
                WHERE granted.has_columns OR EXISTS (
                    SELECT FROM unnest(granted.acl) one (entry), aclexplode(ARRAY[one.entry]) acl
                    WHERE acl.grantee = 0 OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantee))
            ) || CASE WHEN tried = 0 THEN '{}' ELSE ARRAY(
                -- What that leaves: see `passed_on.sql`. Nobody is to have any of it.
                SELECT ARRAY[pg_get_userbyid(c.relowner)::text, format(
                    'GRANT ALL (%1$s) ON TABLE %2$s TO %3$s WITH GRANT OPTION; REVOKE ALL (%1$s) ON TABLE %2$s FROM %3$s CASCADE',
                    columns.names, c.oid::regclass, further.grantors)]
                FROM pg_class c,
                LATERAL (
                    SELECT string_agg(DISTINCT acl.grantor::regrole::text, ', ')
                    FROM (SELECT DISTINCT one.entry FROM pg_attribute a, unnest(a.attacl) one (entry)
                          WHERE a.attrelid = c.oid AND NOT a.attisdropped OFFSET 0) AS granted,
                    aclexplode(ARRAY[granted.entry]) acl
                    WHERE acl.grantor <> c.relowner AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantor)
                ) AS further (grantors),
                LATERAL (
                    SELECT string_agg(quote_ident(a.attname), ', ')
                    FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND cardinality(a.attacl) > 0
                    GROUP BY a.attnum / 100
                ) AS columns (names)
                WHERE object.classid = 'pg_class'::regclass AND c.oid = object.objid AND further.grantors IS NOT NULL
            ) END || ARRAY(
                -- EXECUTE is not asked for by a trigger that somebody else has made of one. Nothing
                -- can change its role while it runs as its owner, so each call fails: as SECURITY
                -- INVOKER it would run with the rights of who calls it.
                SELECT ARRAY[NULL, format('ALTER %s %I.%I(%s) SET role = none', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                    n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))]
                FROM pg_proc p
                JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE object.classid = 'pg_proc'::regclass AND p.oid = object.objid AND p.prosecdef
                    AND NOT coalesce('role=none' = ANY (p.proconfig), false)
            ) || ARRAY(
                -- USAGE is not asked for by a foreign table that is there.
                SELECT ARRAY[NULL, format('DROP USER MAPPING FOR %s SERVER %I',
                    CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE m.umuser::regrole::text END, m.srvname)]
                FROM pg_user_mappings m
                WHERE object.classid = 'pg_foreign_server'::regclass AND m.srvid = object.objid);
