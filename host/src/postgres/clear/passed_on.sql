ARRAY(
    -- No REVOKE but by who granted it takes such a privilege, or one that takes the same from
    -- them: so they get it, and lose it in the same statement. Where the table isn't ours, that
    -- is refused.
    SELECT DISTINCT format('DO %L', format(
        'BEGIN IF NOT has_column_privilege(%1$s::oid, %2$s::oid, %3$s::int2, ''%4$s WITH GRANT OPTION'') THEN
             GRANT %4$s (%5$I) ON TABLE %6$s TO %7$s WITH GRANT OPTION; REVOKE %4$s (%5$I) ON TABLE %6$s FROM %7$s CASCADE;
         END IF; END',
        acl.grantor, c.oid, a.attnum, acl.privilege_type, a.attname, c.oid::regclass, acl.grantor::regrole))
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND object.objsubid IN (0, a.attnum),
    aclexplode(a.attacl) acl
    WHERE c.oid = object.objid AND acl.grantor <> c.relowner
        AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantor))
