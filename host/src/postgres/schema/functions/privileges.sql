-- The last: who may call them.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sym FROM PUBLIC;

-- Who was given the functions has those that are new, too: who may give access of either
-- strategy, by a release. Who may only end it, as somebody on call, is given nothing.
DO $$ DECLARE holder oid; BEGIN
    FOR holder IN SELECT acl.grantee FROM pg_proc p, aclexplode(p.proacl) acl
                  WHERE p.oid IN ('sym.lend(jsonb)'::regprocedure::oid, 'sym.prepare_user(jsonb)'::regprocedure::oid,
                                  'sym.accept_release(text, bigint, text)'::regprocedure::oid,
                                  'sym.give_back(text, jsonb)'::regprocedure::oid)
                    AND acl.grantee NOT IN (0::oid, p.proowner)
                  GROUP BY acl.grantee HAVING pg_catalog.count(DISTINCT p.oid) = 4 LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO %s', holder::regrole);
    END LOOP;
END $$;

-- Of pg_cron's sessions, too: in any other isolation what is read behind a lock is as it
-- was before it.
ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'read committed';
-- And a look that somebody makes long keeps no next one of them waiting for good.
ALTER ROLE CURRENT_USER SET statement_timeout = '30s';
