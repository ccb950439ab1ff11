    -- The same, of columns; also of those that it passed on, be it by a GRANT OPTION that it hasn't
    -- any more.
    FOR object IN
        SELECT s.classid, s.objid, s.objsubid
        FROM (SELECT s.dbid, s.classid, s.objid, s.objsubid, s.deptype FROM pg_shdepend s
              WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver LIMIT {most}) s
        WHERE s.deptype = 'a' AND s.dbid = here AND s.classid = 'pg_class'::regclass AND s.objsubid > 0
        ORDER BY count(*) OVER (PARTITION BY s.objid), random()
    LOOP
        passed_on := CASE WHEN EXISTS (
            SELECT FROM pg_attribute a, unnest(a.attacl) one (entry), aclexplode(ARRAY[one.entry]) acl
            WHERE a.attrelid = object.objid AND a.attnum = object.objsubid
                AND (acl.grantor = leaver
                     OR acl.grantee = leaver AND acl.is_grantable AND pg_has_role(current_user, acl.grantor, 'USAGE')))
            THEN {passing_on} ELSE '{}' END;
        {begin_object}
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY(
                SELECT DISTINCT ARRAY[pg_get_userbyid(acl.grantor)::text, format('REVOKE %s (%I) ON TABLE %s FROM %s CASCADE', acl.privilege_type,
                    a.attname, a.attrelid::regclass, leaver)]
                FROM pg_attribute a, unnest(a.attacl) one (entry), aclexplode(ARRAY[one.entry]) acl
                WHERE a.attrelid = object.objid AND a.attnum = object.objsubid
                    AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'))
                || CASE WHEN passed_on <> '{}' THEN {passed_on} ELSE '{}' END;
