ARRAY(
    -- A privilege on a column stays when the table's GRANT OPTION goes by which it was granted. No
    -- REVOKE takes it but by who granted it, or one that takes the same from them: so they get it,
    -- and lose it in the same breath, but for what they had from the owner. Where the table isn't
    -- ours, that is refused.
    SELECT ARRAY[pg_get_userbyid(further.relowner)::text, format(
        'GRANT %1$s (%2$s) ON TABLE %3$s TO %4$s WITH GRANT OPTION; REVOKE %5$s %1$s (%2$s) ON TABLE %3$s FROM %4$s CASCADE',
        further.privilege_type, string_agg(quote_ident(a.attname), ', '), further.oid::regclass, further.grantor::regrole,
        CASE WHEN own.has_it THEN 'GRANT OPTION FOR' END)]
    FROM (SELECT DISTINCT further.oid, further.relowner, further.grantor, further.privilege_type, attnum
          FROM ({column_grants}) AS further, unnest(further.columns) attnum
          OFFSET 0) AS further
    JOIN pg_attribute a ON a.attrelid = further.oid AND a.attnum = further.attnum,
    LATERAL (SELECT aclcontains(a.attacl, makeaclitem(further.grantor, further.relowner, further.privilege_type, false))) AS own (has_it)
    -- Somebody else's, which was so before, is none of ours.
    WHERE format('%s %s %s', further.attnum, further.grantor, further.privilege_type) IN (SELECT unnest(passed_on))
        AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = further.grantor)
        AND NOT has_column_privilege(further.grantor, further.oid, further.attnum, further.privilege_type || ' WITH GRANT OPTION')
    GROUP BY further.oid, further.relowner, further.grantor, further.privilege_type, own.has_it)
