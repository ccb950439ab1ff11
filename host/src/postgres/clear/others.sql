    -- The same, of all that is no relation.
    FOR object IN
        SELECT s.classid, s.objid, 0 AS objsubid
        FROM (SELECT DISTINCT s.classid, s.objid
              FROM (SELECT s.dbid, s.classid, s.objid, s.deptype FROM pg_shdepend s
                    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver LIMIT {most}) s
              WHERE s.deptype = 'a' AND s.dbid IN (0, here) AND s.classid <> 'pg_class'::regclass) s
        -- Of large objects anybody makes and grants any number: so they are the last.
        ORDER BY s.classid = 'pg_largeobject'::regclass, random()
    LOOP
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY(
                SELECT DISTINCT ARRAY[pg_get_userbyid(acl.grantor)::text,
                    format('REVOKE %s ON %s %s FROM %s CASCADE', acl.privilege_type, granted.kind, granted.name, leaver)]
                FROM (
                    -- By its kind, and with the modes of its arguments: ROUTINE can be ambiguous.
                    SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                        CASE p.prokind WHEN 'a' THEN p.oid::regprocedure::text
                            ELSE format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) END,
                        p.proacl
                    FROM pg_proc p
                    JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE object.classid = 'pg_proc'::regclass AND p.oid = object.objid
                    UNION ALL
                    SELECT 'TYPE', format('%I.%I', n.nspname, t.typname), t.typacl
                    FROM pg_type t
                    JOIN pg_namespace n ON n.oid = t.typnamespace
                    WHERE object.classid = 'pg_type'::regclass AND t.oid = object.objid
                    UNION ALL
                    SELECT 'SCHEMA', quote_ident(n.nspname), n.nspacl
                    FROM pg_namespace n WHERE object.classid = 'pg_namespace'::regclass AND n.oid = object.objid
                    UNION ALL
                    SELECT 'DATABASE', quote_ident(d.datname), d.datacl
                    FROM pg_database d WHERE object.classid = 'pg_database'::regclass AND d.oid = object.objid
                    UNION ALL
                    SELECT 'LANGUAGE', quote_ident(l.lanname), l.lanacl
                    FROM pg_language l WHERE object.classid = 'pg_language'::regclass AND l.oid = object.objid
                    UNION ALL
                    SELECT 'FOREIGN SERVER', quote_ident(f.srvname), f.srvacl
                    FROM pg_foreign_server f WHERE object.classid = 'pg_foreign_server'::regclass AND f.oid = object.objid
                    UNION ALL
                    SELECT 'FOREIGN DATA WRAPPER', quote_ident(f.fdwname), f.fdwacl
                    FROM pg_foreign_data_wrapper f
                    WHERE object.classid = 'pg_foreign_data_wrapper'::regclass AND f.oid = object.objid
                    UNION ALL
                    SELECT 'TABLESPACE', quote_ident(t.spcname), t.spcacl
                    FROM pg_tablespace t WHERE object.classid = 'pg_tablespace'::regclass AND t.oid = object.objid
                    UNION ALL
                    SELECT 'LARGE OBJECT', l.oid::text, l.lomacl
                    FROM pg_largeobject_metadata l WHERE object.classid = 'pg_largeobject'::regclass AND l.oid = object.objid
                ) AS granted (kind, name, acl), unnest(granted.acl) one (entry), aclexplode(ARRAY[one.entry]) acl
                WHERE acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'));
