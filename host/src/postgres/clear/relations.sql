    -- What was granted to the leaver, which is what anything that runs with its rights could
    -- use, and with that what it passed on. Anybody can grant to the leaver what is theirs, and
    -- the leaver to itself, so a privilege only counts where it is ours to revoke. Exactly those
    -- that are listed, as ALL would be refused to who may grant a column, or the use of a
    -- sequence, alone.
    FOR object IN
        SELECT s.classid, s.objid, s.objsubid
        FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here
            AND s.classid = 'pg_class'::regclass AND s.objsubid = 0
        ORDER BY random()
    LOOP
        passed_on := {passing_on};
        {begin_object}
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY(
                SELECT DISTINCT ARRAY[pg_get_userbyid(acl.grantor)::text, format('REVOKE %s ON %s %s FROM %s CASCADE', acl.privilege_type,
                    CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, leaver)]
                FROM pg_class c, aclexplode(c.relacl) acl
                WHERE c.oid = object.objid
                    AND acl.grantee = leaver AND acl.grantor <> leaver AND pg_has_role(current_user, acl.grantor, 'USAGE'))
                || {passed_on};
