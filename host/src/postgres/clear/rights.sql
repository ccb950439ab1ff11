-- What the leaver made by a right that PostgreSQL asks for when it is made, and never again:
-- what it is, and the statement that drops it. Its heir, which may have some of its things
-- already, doesn't have that right, and nobody is to have it by what was made. In another order
-- each time: one that somebody holds keeps no other for good.
--
-- It is asked about again and again, so each look is a short one.

SELECT doors.what, doors.statement, doors.classid, doors.objid
FROM (
    -- A foreign key tells, and keeps, whether there is a row in somebody else's table.
    SELECT format('%I on %s', k.conname, k.conrelid::regclass) AS what,
        format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS statement,
        -- What is dropped with all that hangs on it.
        NULL::oid AS classid, NULL::oid AS objid
    FROM pg_constraint k
    JOIN pg_class child ON child.oid = k.conrelid
    JOIN pg_class parent ON parent.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conparentid = 0 AND child.relowner = ANY ({owners}) AND parent.relowner <> ALL ({owners})
        AND NOT (has_schema_privilege({heir}::name, parent.relnamespace, 'USAGE')
                 AND (has_table_privilege({heir}::name, parent.oid, 'REFERENCES') OR (
                     SELECT bool_and(has_column_privilege({heir}::name, parent.oid, part.attnum, 'REFERENCES'))
                     FROM unnest(k.confkey) part (attnum))))

    UNION ALL
    -- A trigger calls its function, which may be SECURITY DEFINER, for whoever writes.
    SELECT format('%I on %s', t.tgname, t.tgrelid::regclass), format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass),
        NULL, NULL
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND c.relowner = ANY ({owners}) AND p.proowner <> ALL ({owners})
        AND NOT (has_schema_privilege({heir}::name, p.pronamespace, 'USAGE') AND has_function_privilege({heir}::name, p.oid, 'EXECUTE'))

    UNION ALL
    -- A foreign table is a door of its server, and that one of its wrapper.
    SELECT f.ftrelid::regclass::text, format('DROP FOREIGN TABLE %s CASCADE', f.ftrelid::regclass), 'pg_class'::regclass, f.ftrelid
    FROM pg_foreign_table f
    JOIN pg_class c ON c.oid = f.ftrelid
    JOIN pg_foreign_server s ON s.oid = f.ftserver
    WHERE c.relowner = ANY ({owners}) AND s.srvowner <> ALL ({owners}) AND NOT has_server_privilege({heir}::name, s.oid, 'USAGE')

    UNION ALL
    SELECT format('server %I', s.srvname), format('DROP SERVER %I CASCADE', s.srvname), 'pg_foreign_server'::regclass, s.oid
    FROM pg_foreign_server s
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    WHERE s.srvowner = ANY ({owners}) AND w.fdwowner <> ALL ({owners})
        AND NOT has_foreign_data_wrapper_privilege({heir}::name, w.oid, 'USAGE')
) AS doors
ORDER BY random()
