    -- When there are no doors any more, and no privileges: what was closed has its owner's own
    -- privileges again, as somebody else's key may lead to it. Those of others are gone.
    FOR object IN
        SELECT closed.*
        FROM (
            SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name,
                c.relacl AS acl, c.relowner AS owner, false AS is_barred
            FROM pg_class c
            WHERE c.relowner = ANY ({owners}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            UNION ALL
            SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
                CASE p.prokind WHEN 'a' THEN p.oid::regprocedure::text
                    ELSE format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) END,
                p.proacl, p.proowner, p.prosecdef AND coalesce('role=none' = ANY (p.proconfig), false)
            FROM pg_proc p
            JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE p.proowner = ANY ({owners})
        ) AS closed
        WHERE closed.is_barred
           OR closed.acl IS NOT NULL AND NOT EXISTS (
               SELECT FROM unnest(closed.acl) one (entry), aclexplode(ARRAY[one.entry]) acl WHERE acl.grantee = closed.owner)
    LOOP
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY[[NULL, format('GRANT ALL ON %s %s TO %s', object.kind, object.name, object.owner::regrole)]];
            IF object.is_barred THEN
                statements := statements || ARRAY[[NULL, format('ALTER %s %s RESET role', object.kind, object.name)]];
            END IF;
