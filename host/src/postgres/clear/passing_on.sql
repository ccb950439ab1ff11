ARRAY(
    -- Who has granted which column by a GRANT OPTION that may come from the leaver.
    SELECT DISTINCT format('%s %s %s', a.attnum, acl.grantor, acl.privilege_type)
    FROM pg_attribute a, aclexplode(a.attacl) acl
    WHERE a.attrelid = object.objid AND NOT a.attisdropped AND object.objsubid IN (0, a.attnum)
        AND (acl.grantor = leaver
             OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantor)
                AND has_column_privilege(acl.grantor, a.attrelid, a.attnum, acl.privilege_type || ' WITH GRANT OPTION')))
