ARRAY(
    -- Who has granted which column by a GRANT OPTION on the table that may come from the leaver.
    SELECT format('%s %s %s', attnum, further.grantor, further.privilege_type)
    FROM ({column_grants}) AS further, unnest(further.columns) attnum
    WHERE further.grantor = leaver
        OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = further.grantor)
            AND has_table_privilege(further.grantor, further.oid, further.privilege_type || ' WITH GRANT OPTION'))
