-- What `remove::clear` runs first in each database, with the leaver's OID, and the text of
-- active.sql, in their places.
--
-- All leavers' things get one owner, `sym_graveyard`. What runs as its owner could read what
-- others have left, and until then what the leaver was granted. So what was granted is revoked,
-- with what was granted on, and nothing is left that runs as its owner. Over what the leaver
-- didn't own, it works no more anyhow.
--
-- Each statement by itself, and each list: one that fails, or would wait, keeps no other, and
-- what the time is too short for is the next sweep's. Anybody can grant to the leaver what is
-- theirs, and the leaver to itself, so a privilege only counts where it is ours to revoke.
DO $$
DECLARE
    leaver constant regrole := {leaver};
    here constant oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    -- Mostly it owns nothing.
    owns constant boolean := EXISTS (
        SELECT FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'o' AND s.dbid IN (0, here));
    begun constant timestamptz := clock_timestamp();
    committed timestamptz := begun;
    statements text[];
    statement text;
    number int := 0;
BEGIN
    PERFORM set_config('lock_timeout', '100ms', false);
    FOR list IN 1..CASE WHEN owns THEN 5 ELSE 3 END LOOP
        BEGIN
            -- First the privileges, without which nothing that runs as the leaver can do anything.
            -- Exactly those that are listed, as ALL would be refused to who may grant a column, or
            -- the use of a sequence, alone.
            IF list = 1 THEN
                statements := ARRAY(
                    SELECT DISTINCT format('REVOKE %s ON %s %s FROM %s CASCADE', acl.privilege_type,
                        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, leaver)
                    FROM pg_shdepend s
                    JOIN pg_class c ON c.oid = s.objid,
                    aclexplode(c.relacl) acl
                    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here
                        AND s.classid = 'pg_class'::regclass AND s.objsubid = 0
                        AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'));
            ELSIF list = 2 THEN
                statements := ARRAY(
                    SELECT DISTINCT format('REVOKE %s (%I) ON TABLE %s FROM %s CASCADE', acl.privilege_type,
                        a.attname, a.attrelid::regclass, leaver)
                    FROM pg_shdepend s
                    JOIN pg_attribute a ON a.attrelid = s.objid AND a.attnum = s.objsubid,
                    aclexplode(a.attacl) acl
                    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here
                        AND s.classid = 'pg_class'::regclass AND s.objsubid > 0
                        AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'));
            ELSIF list = 3 THEN
                statements := ARRAY(
                    WITH granted AS (
                        SELECT DISTINCT s.classid, s.objid
                        FROM pg_shdepend s
                        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a'
                            AND s.dbid IN (0, here) AND s.classid <> 'pg_class'::regclass)
                    SELECT format('REVOKE ALL ON %s %s FROM %s CASCADE', object.kind, object.name, leaver)
                    FROM (
                        -- By its kind, and with the modes of its arguments: ROUTINE can be ambiguous.
                        SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                            CASE p.prokind WHEN 'a' THEN p.oid::regprocedure::text
                                ELSE format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) END,
                            p.proacl
                        FROM granted g
                        JOIN pg_proc p ON g.classid = 'pg_proc'::regclass AND p.oid = g.objid
                        JOIN pg_namespace n ON n.oid = p.pronamespace
                        UNION ALL
                        SELECT 'TYPE', format('%I.%I', n.nspname, t.typname), t.typacl
                        FROM granted g
                        JOIN pg_type t ON g.classid = 'pg_type'::regclass AND t.oid = g.objid
                        JOIN pg_namespace n ON n.oid = t.typnamespace
                        UNION ALL
                        SELECT 'SCHEMA', quote_ident(n.nspname), n.nspacl
                        FROM granted g JOIN pg_namespace n ON g.classid = 'pg_namespace'::regclass AND n.oid = g.objid
                        UNION ALL
                        SELECT 'DATABASE', quote_ident(d.datname), d.datacl
                        FROM granted g JOIN pg_database d ON g.classid = 'pg_database'::regclass AND d.oid = g.objid
                        UNION ALL
                        SELECT 'LANGUAGE', quote_ident(l.lanname), l.lanacl
                        FROM granted g JOIN pg_language l ON g.classid = 'pg_language'::regclass AND l.oid = g.objid
                        UNION ALL
                        SELECT 'FOREIGN SERVER', quote_ident(f.srvname), f.srvacl
                        FROM granted g JOIN pg_foreign_server f ON g.classid = 'pg_foreign_server'::regclass AND f.oid = g.objid
                        UNION ALL
                        SELECT 'FOREIGN DATA WRAPPER', quote_ident(f.fdwname), f.fdwacl
                        FROM granted g
                        JOIN pg_foreign_data_wrapper f ON g.classid = 'pg_foreign_data_wrapper'::regclass AND f.oid = g.objid
                        UNION ALL
                        SELECT 'TABLESPACE', quote_ident(t.spcname), t.spcacl
                        FROM granted g JOIN pg_tablespace t ON g.classid = 'pg_tablespace'::regclass AND t.oid = g.objid
                        UNION ALL
                        SELECT 'LARGE OBJECT', l.oid::text, l.lomacl
                        FROM granted g JOIN pg_largeobject_metadata l ON g.classid = 'pg_largeobject'::regclass AND l.oid = g.objid
                    ) AS object (kind, name, acl)
                    WHERE EXISTS (SELECT FROM aclexplode(object.acl) acl
                                  WHERE acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE')));
            ELSIF list = 4 THEN
                statements := ARRAY(
                    -- The heir's, too: of what was on its way when it was moved.
                    SELECT DISTINCT active.statement FROM ({active} UNION ALL {active of heir}) AS active
                    WHERE active.statement IS NOT NULL);
            ELSE
                -- Of more things than one transaction can lock, or move in its time, many are moved
                -- here: everybody may make large objects.
                statements := ARRAY(
                    SELECT CASE s.classid
                        WHEN 'pg_class'::regclass THEN format('ALTER TABLE %s OWNER TO sym_graveyard', s.objid::regclass)
                        ELSE format('ALTER LARGE OBJECT %s OWNER TO sym_graveyard', s.objid)
                    END
                    FROM pg_shdepend s
                    LEFT JOIN pg_class c ON s.classid = 'pg_class'::regclass AND c.oid = s.objid
                    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'o' AND s.dbid = here
                        AND (s.classid = 'pg_largeobject'::regclass OR c.relkind IN ('r', 'p', 'v', 'm', 'f'))
                        AND NOT EXISTS (SELECT FROM ({active}) AS active)
                    OFFSET 500 LIMIT 200000);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            -- Somebody drops, at this moment, what it names.
            statements := '{}';
        END;
        FOREACH statement IN ARRAY statements LOOP
            BEGIN
                EXECUTE statement;
                -- Behind the lock: who had it may have done something since we looked.
                IF list = 5 AND statement LIKE 'ALTER TABLE %' AND EXISTS (SELECT FROM ({active of heir}) AS active) THEN
                    RAISE lock_not_available;
                END IF;
            EXCEPTION
                WHEN lock_not_available THEN
                    -- Who holds one may hold many.
                    PERFORM set_config('lock_timeout', '20ms', false);
                WHEN OTHERS THEN
                    NULL;
            END;
            number := number + 1;
            IF number % 50 = 0 OR clock_timestamp() > committed + interval '20 ms' THEN
                COMMIT;
                committed := clock_timestamp();
                IF committed > begun + interval '6 s' THEN
                    RETURN;
                END IF;
            END IF;
        END LOOP;
        COMMIT;
    END LOOP;
END $$;
