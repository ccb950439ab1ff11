    -- Each privilege on a column of the object that not its owner has granted, once, whoever has it;
    -- `columns` are numbers.
    SELECT DISTINCT c.oid, c.relowner, acl.grantor, acl.privilege_type, granted.columns
    FROM pg_class c,
    LATERAL (
        SELECT one.entry, array_agg(a.attnum) AS columns
        FROM pg_attribute a, unnest(a.attacl) one (entry)
        WHERE a.attrelid = c.oid AND NOT a.attisdropped AND object.objsubid IN (0, a.attnum)
        GROUP BY one.entry) AS granted,
    aclexplode(ARRAY[granted.entry]) acl
    WHERE c.oid = object.objid AND acl.grantor <> c.relowner
    OFFSET 0
