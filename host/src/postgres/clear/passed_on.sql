ARRAY(
    -- A privilege on a column stays when the table's GRANT OPTION goes by which it was granted. No
    -- REVOKE takes it but by who granted it, or one that takes the same from them: so they get it,
    -- and lose it in the same breath. Where the table isn't ours, that is refused.
    SELECT DISTINCT ARRAY[pg_get_userbyid(c.relowner)::text, format(
        'GRANT %1$s (%2$I) ON TABLE %3$s TO %4$s WITH GRANT OPTION; REVOKE %1$s (%2$I) ON TABLE %3$s FROM %4$s CASCADE',
        acl.privilege_type, a.attname, c.oid::regclass, acl.grantor::regrole)]
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND object.objsubid IN (0, a.attnum),
    aclexplode(a.attacl) acl
    WHERE c.oid = object.objid AND acl.grantor <> c.relowner
        -- Somebody else's, which was so before, is none of ours.
        AND (passed_on IS NULL OR format('%s %s %s', a.attnum, acl.grantor, acl.privilege_type) = ANY (passed_on))
        AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantor)
        AND NOT has_column_privilege(acl.grantor, c.oid, a.attnum, acl.privilege_type || ' WITH GRANT OPTION'))
