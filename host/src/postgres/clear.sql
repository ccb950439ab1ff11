-- What `remove::clear` runs first in each database, with the leaver's OID, the name of its heir
-- or NULL, and the text of rights.sql in their places: takes what was granted to the leaver,
-- which is what anything that runs with its rights could use, and with that what it passed on;
-- drops what keeps a right, or closes what can't be dropped yet; and moves what is too much for
-- one transaction.
--
-- Each statement by itself, and each list: one that fails, or would wait, keeps no other, and
-- what the time is too short for is the next sweep's, which has less to do. Anybody can
-- grant to the leaver what is theirs, and the leaver to itself, so a privilege only counts where
-- it is ours to revoke.
DO $$
DECLARE
    leaver constant regrole := {leaver};
    here constant oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    heir constant text := {heir};
    begun constant timestamptz := clock_timestamp();
    committed timestamptz := begun;
    until timestamptz;
    list text;
    statements text[];
    statement text;
    number int := 0;
    lends boolean;
BEGIN
    PERFORM set_config('lock_timeout', '100ms', false);
    -- Who owns what has no index, in the catalog of its kind.
    PERFORM set_config('enable_seqscan', 'on', false);
    FOREACH list IN ARRAY CASE WHEN heir IS NULL THEN '{relations, columns, others}'
                               ELSE '{relations, columns, others, doors, closing, moving}' END::text[] LOOP
        BEGIN
            -- First the privileges, without which nothing that runs as the leaver can do anything.
            -- Exactly those that are listed, as ALL would be refused to who may grant a column, or
            -- the use of a sequence, alone.
            IF list = 'relations' THEN
                statements := ARRAY(
                    SELECT DISTINCT format('REVOKE %s ON %s %s FROM %s CASCADE', acl.privilege_type,
                        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, leaver)
                    FROM pg_shdepend s
                    JOIN pg_class c ON c.oid = s.objid,
                    aclexplode(c.relacl) acl
                    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here
                        AND s.classid = 'pg_class'::regclass AND s.objsubid = 0
                        AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'));
            ELSIF list = 'columns' THEN
                statements := ARRAY(
                    SELECT DISTINCT format('REVOKE %s (%I) ON TABLE %s FROM %s CASCADE', acl.privilege_type,
                        a.attname, a.attrelid::regclass, leaver)
                    FROM pg_shdepend s
                    JOIN pg_attribute a ON a.attrelid = s.objid AND a.attnum = s.objsubid,
                    aclexplode(a.attacl) acl
                    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here
                        AND s.classid = 'pg_class'::regclass AND s.objsubid > 0
                        AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'));
            ELSIF list = 'others' THEN
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
            ELSIF list = 'doors' THEN
                statements := ARRAY(SELECT rights.statement FROM ({rights}) AS rights);
            ELSIF list = 'closing' AND NOT EXISTS (SELECT FROM ({rights}) AS rights) THEN
                statements := '{}';
            ELSIF list = 'closing' THEN
                -- Of who still has such things nobody uses any, and nothing runs with its rights:
                -- not even its own, which RI actions and rules use. This waits for no reader.
                statements := ARRAY(
                    SELECT format('REVOKE ALL ON %s %s FROM %s CASCADE', object.kind, object.name,
                        (SELECT string_agg(DISTINCT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END, ', ')
                         FROM aclexplode(object.acl) acl
                         WHERE acl.grantee = 0 OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantee)))
                    FROM (
                        SELECT 'SEQUENCE' AS kind, c.oid::regclass::text AS name, coalesce(c.relacl, acldefault('s', c.relowner)) AS acl
                        FROM pg_class c
                        WHERE c.relowner = ANY ({owners}) AND c.relkind = 'S'
                        UNION ALL
                        SELECT 'TABLE', c.oid::regclass::text, coalesce(c.relacl, acldefault('r', c.relowner)) || coalesce(
                            (SELECT array_agg(one.acl) FROM pg_attribute a, unnest(a.attacl) one (acl)
                             WHERE a.attrelid = c.oid AND NOT a.attisdropped), '{}')
                        FROM pg_class c
                        WHERE c.relowner = ANY ({owners}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                        UNION ALL
                        SELECT 'FOREIGN SERVER', quote_ident(f.srvname), coalesce(f.srvacl, acldefault('S', f.srvowner))
                        FROM pg_foreign_server f
                        WHERE f.srvowner = ANY ({owners})
                    ) AS object
                    WHERE cardinality(object.acl) > 0
                    LIMIT 20000)
                    || ARRAY(
                    -- EXECUTE is not asked for by a trigger that somebody else has made of one.
                    SELECT format('ALTER %s %I.%I(%s) SECURITY INVOKER', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                        n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
                    FROM pg_proc p
                    JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE p.proowner = ANY ({owners}) AND p.prosecdef
                    LIMIT 20000);
            ELSIF EXISTS (SELECT FROM ({rights}) AS rights)
                  OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = heir) THEN
                -- It is to have nothing that keeps a right, and no role.
                RETURN;
            ELSE
                -- Of more things than one transaction can lock, or move in its time, many are moved
                -- here: everybody may make large objects, and who may create in a schema the others.
                statements := ARRAY(
                    SELECT CASE
                        WHEN s.classid = 'pg_largeobject'::regclass THEN format('ALTER LARGE OBJECT %s OWNER TO %I', s.objid, heir)
                        WHEN t.oid IS NOT NULL THEN format('ALTER TYPE %s OWNER TO %I', t.oid::regtype, heir)
                        WHEN c.oid IS NOT NULL THEN format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, heir)
                        ELSE format('ALTER %s %I.%I(%s) OWNER TO %I', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                            n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), heir)
                    END
                    FROM pg_shdepend s
                    LEFT JOIN pg_class c ON s.classid = 'pg_class'::regclass AND c.oid = s.objid
                    LEFT JOIN pg_type t ON s.classid = 'pg_type'::regclass AND t.oid = s.objid
                    LEFT JOIN pg_proc p ON s.classid = 'pg_proc'::regclass AND p.oid = s.objid AND p.prokind <> 'a'
                    LEFT JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'o' AND s.dbid = here
                        -- A sequence of a column goes with its table.
                        AND (s.classid = 'pg_largeobject'::regclass OR c.relkind IN ('r', 'p', 'v', 'm', 'f') OR t.oid IS NOT NULL OR p.oid IS NOT NULL
                             OR c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                 AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
                    OFFSET 500 LIMIT 200000);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            -- Somebody drops, at this moment, what it names.
            statements := '{}';
        END;
        -- A new owner has to be one who may create in the schema: that is lent to it, and never
        -- committed.
        lends := list = 'moving' AND statements <> '{}';
        IF lends THEN
            EXECUTE format('GRANT sym_graveyard TO %I', heir);
        END IF;
        -- Each list gets some of the time, whatever those before it are too short for.
        until := begun + CASE list WHEN 'doors' THEN interval '6 s'
                     WHEN 'closing' THEN interval '7 s' WHEN 'moving' THEN interval '7 s' ELSE interval '5 s' END;
        FOREACH statement IN ARRAY statements LOOP
            BEGIN
                EXECUTE statement;
            EXCEPTION
                WHEN lock_not_available THEN
                    -- It may be somebody else's table, whose readers would wait behind this.
                    EXIT WHEN list = 'doors';
                    -- Who holds one may hold many.
                    PERFORM set_config('lock_timeout', '20ms', false);
                WHEN OTHERS THEN
                    NULL;
            END;
            number := number + 1;
            IF number % 50 = 0 OR clock_timestamp() > committed + interval '20 ms' THEN
                IF lends THEN
                    EXECUTE format('REVOKE sym_graveyard FROM %I', heir);
                END IF;
                COMMIT;
                committed := clock_timestamp();
                IF committed > until THEN
                    lends := false;
                    EXIT;
                END IF;
                IF lends THEN
                    EXECUTE format('GRANT sym_graveyard TO %I', heir);
                END IF;
            END IF;
        END LOOP;
        IF lends THEN
            EXECUTE format('REVOKE sym_graveyard FROM %I', heir);
        END IF;
        COMMIT;
    END LOOP;
END $$;
