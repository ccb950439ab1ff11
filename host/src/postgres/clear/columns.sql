    -- The same, of columns; also of those that it passed on.
    FOR object IN
        SELECT s.classid, s.objid, s.objsubid
        FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here
            AND s.classid = 'pg_class'::regclass AND s.objsubid > 0
        ORDER BY random()
    LOOP
        passed_on := {passing_on};
        {begin_object}
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY(
                SELECT DISTINCT ARRAY[pg_get_userbyid(acl.grantor)::text, format('REVOKE %s (%I) ON TABLE %s FROM %s CASCADE', acl.privilege_type,
                    a.attname, a.attrelid::regclass, leaver)]
                FROM pg_attribute a, aclexplode(a.attacl) acl
                WHERE a.attrelid = object.objid AND a.attnum = object.objsubid
                    AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'))
                || {passed_on};
