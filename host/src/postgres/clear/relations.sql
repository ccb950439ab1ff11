    -- What was granted to the leaver, which is what anything that runs with its rights could
    -- use, and with that what it passed on. Anybody can grant to the leaver what is theirs, and
    -- the leaver to itself, so a privilege only counts where it is ours to revoke. Exactly those
    -- that are listed, as ALL would be refused to who may grant a column, or the use of a
    -- sequence, alone.
    FOR object IN
        SELECT s.classid, s.objid, s.objsubid
        FROM (SELECT s.dbid, s.classid, s.objid, s.objsubid, s.deptype FROM pg_shdepend s
              WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver LIMIT {most}) s
        WHERE s.deptype = 'a' AND s.dbid = here AND s.classid = 'pg_class'::regclass AND s.objsubid = 0
        -- What has much granted on it takes long, and is not to keep the others from their turn.
        ORDER BY (SELECT count(*) FROM (SELECT FROM pg_shdepend o
                  WHERE o.dbid = s.dbid AND o.classid = s.classid AND o.objid = s.objid LIMIT 100) o), random()
    LOOP
        passed_on := CASE WHEN EXISTS (
            SELECT FROM pg_class c, unnest(c.relacl) one (entry), aclexplode(ARRAY[one.entry]) acl
            WHERE c.oid = object.objid AND acl.grantee = leaver AND acl.is_grantable AND pg_has_role(current_user, acl.grantor, 'USAGE'))
            THEN {passing_on} ELSE '{}' END;
        {begin_object}
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY(
                SELECT DISTINCT ARRAY[pg_get_userbyid(acl.grantor)::text, format('REVOKE %s ON %s %s FROM %s CASCADE', acl.privilege_type,
                    CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, leaver)]
                FROM pg_class c, unnest(c.relacl) one (entry), aclexplode(ARRAY[one.entry]) acl
                WHERE c.oid = object.objid
                    AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'))
                || CASE WHEN passed_on <> '{}' THEN {passed_on} ELSE '{}' END;
