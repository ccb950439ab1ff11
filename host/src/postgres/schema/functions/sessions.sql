-- Sessions, and what else works on with a right that was taken.

-- Workers of autovacuum at a table of the user's, which may call a function of theirs with
-- their rights, for as long as that likes: what an index or statistics are made of, or how long
-- a range is. Nobody's sessions; which tables they have locked, everybody sees. What a table of
-- another database has, we don't.
CREATE OR REPLACE FUNCTION sym.workers_of(user_oid oid) RETURNS int[]
LANGUAGE plpgsql AS $$
DECLARE
    workers int[] := (SELECT array_agg(a.pid) FROM pg_stat_activity a WHERE a.usesysid IS NULL AND a.datid IS NOT NULL);
BEGIN
    -- To list locks keeps everybody from taking some, and mostly there is no worker.
    IF workers IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN (SELECT coalesce(array_agg(DISTINCT l.pid), '{}')
            FROM pg_locks l
            WHERE l.pid = ANY (workers) AND l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock'
              AND EXISTS (SELECT FROM pg_shdepend s WHERE s.dbid = l.database AND s.classid = 'pg_class'::regclass
                          AND s.objid = l.relation AND s.objsubid = 0 AND s.deptype = 'o'
                          AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = user_oid)
              AND (l.database <> (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                   OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = l.relation AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
                   -- Before 14 there is no such column.
                   OR EXISTS (SELECT FROM pg_statistic_ext e WHERE e.stxrelid = l.relation AND to_jsonb(e) ->> 'stxexprs' IS NOT NULL)
                   OR EXISTS (SELECT FROM pg_attribute c JOIN pg_type t ON t.oid = c.atttypid
                              WHERE c.attrelid = l.relation AND NOT c.attisdropped AND t.typnamespace <> 'pg_catalog'::regnamespace)));
END $$;

-- The sessions of a user, of which after a DROP nothing but the OID is left.
CREATE OR REPLACE FUNCTION sym.sessions_of(user_oid oid) RETURNS int[]
LANGUAGE plpgsql AS $$
BEGIN
    -- What is seen stays the same for a whole transaction otherwise.
    PERFORM pg_stat_clear_snapshot();
    RETURN (SELECT coalesce(array_agg(a.pid), '{}') FROM pg_stat_activity a
            WHERE a.usesysid = user_oid AND a.pid <> pg_backend_pid()) || sym.workers_of(user_oid);
END $$;

-- A user, and who is a member of it: a lent role is theirs too. Up to 14 everybody may make others
-- members of themselves, and is not to end their sessions by that. A superuser has nothing of it, and
-- the function's user does no more with it.
CREATE OR REPLACE FUNCTION sym.users_through(user_oid oid) RETURNS oid[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    reached oid[] := ARRAY[user_oid];
    below   oid[] := reached;
BEGIN
    WHILE below <> '{}' AND current_setting('server_version_num')::int >= 150000 LOOP
        -- Since 16 who has made a role is a member of it that may do nothing but grant it. By their names in
        -- JSON: before there are no such columns.
        below := ARRAY(SELECT DISTINCT m.member FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
            WHERE m.roleid = ANY (below) AND m.member <> ALL (reached) AND NOT r.rolsuper AND r.rolname <> current_user
              AND (coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true) OR (to_jsonb(m) ->> 'set_option')::boolean));
        reached := reached || below;
    END LOOP;
    RETURN reached;
END $$;

-- The sessions of a user, and of its members, that could keep a role that was taken back. Up to 15
-- one may have done SET ROLE, which nobody else can see; since 16 only where the
-- membership was `with_set`. Otherwise a transaction is what remains: an open cursor,
-- or a prepared statement, which is checked anew only where something has to be locked.
CREATE OR REPLACE FUNCTION sym.keeping_sessions(user_oid oid, with_set boolean) RETURNS int[]
LANGUAGE plpgsql AS $$
DECLARE
    users oid[] := sym.users_through(user_oid);
BEGIN
    PERFORM pg_stat_clear_snapshot();
    -- Of other people's sessions the bot sees no state and no times, but these.
    RETURN (SELECT coalesce(array_agg(a.pid), '{}') FROM pg_stat_activity a
            WHERE a.usesysid = ANY (users) AND a.pid <> pg_backend_pid()
              AND (with_set OR current_setting('server_version_num')::int < 160000
                   -- In a transaction, also between its statements.
                   OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'virtualxid'))) || sym.workers_of(user_oid);
END $$;

-- Refuses to end a run whose user has a session that can't be ended. Of a user
-- that was dropped already the caller knows the name.
CREATE OR REPLACE FUNCTION sym.refuse_sessions(user_oid oid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    workers int[] := sym.workers_of(user_oid);
BEGIN
    PERFORM sym.refuse('access-remains', jsonb_build_object('why', CASE WHEN workers = '{}' THEN 'sessions' ELSE 'worker' END,
        'user', (SELECT rolname FROM pg_roles WHERE oid = user_oid), 'pids', array_to_string(workers, ', ')));
END $$;

-- Backends of which pg_stat_activity does not say yet whose they are: a login is
-- under way, in a transaction of its own. Since 18 they have a row, without a
-- user and a database.
CREATE OR REPLACE FUNCTION sym.logins_under_way() RETURNS int[]
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_stat_clear_snapshot();
    RETURN (SELECT coalesce(array_agg(DISTINCT l.pid), '{}') FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.locktype = 'virtualxid' AND l.pid <> pg_backend_pid()
              AND (a.pid IS NULL OR (current_setting('server_version_num')::int >= 180000
                                     AND a.usesysid IS NULL AND a.datid IS NULL)));
END $$;

-- Waits until every login that is under way now is over, so that its session
-- shows. One that has passed its password can stand still for half an hour
-- (`post_auth_delay`, which every client may set), with a role that it took when
-- it still could (`-c role=…`): one that takes longer than honest ones is ended.
-- One that has not passed yet can't be ended, and finds that it may not log in,
-- or not take the role.
CREATE OR REPLACE FUNCTION sym.await_logins(user_oid oid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    pids  int[] := sym.logins_under_way();
    login int;
BEGIN
    FOR attempt IN 1..40 LOOP
        IF pids = '{}' THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(CASE WHEN attempt < 10 THEN 0.002 ELSE 0.025 END);
        pids := ARRAY(SELECT unnest(pids) INTERSECT SELECT unnest(sym.logins_under_way()));
        IF attempt = 20 THEN
            FOREACH login IN ARRAY pids LOOP
                BEGIN
                    PERFORM pg_terminate_backend(login);
                EXCEPTION WHEN insufficient_privilege THEN
                    -- Without this role every login looks as if it had not
                    -- passed yet.
                    IF pg_has_role(current_user, 'pg_signal_backend', 'USAGE') THEN
                        pids := array_remove(pids, login);
                    END IF;
                END;
            END LOOP;
        END IF;
    END LOOP;
    IF pids <> '{}' THEN
        PERFORM sym.refuse_sessions(user_oid);
    END IF;
END $$;

-- Ends these sessions, as far as they are this user's or its members', and returns how many of
-- them it found.
CREATE OR REPLACE FUNCTION sym.end_these_sessions(user_oid oid, pids int[]) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    users  oid[] := sym.users_through(user_oid);
    found  int;
    worker int;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    found := (SELECT count(pg_terminate_backend(a.pid))::int FROM pg_stat_activity a
              WHERE a.usesysid = ANY (users) AND a.pid = ANY (pids));
    FOREACH worker IN ARRAY sym.workers_of(user_oid) LOOP
        IF worker = ANY (pids) THEN
            found := found + 1;
            BEGIN
                PERFORM pg_terminate_backend(worker);
            EXCEPTION WHEN insufficient_privilege THEN
                NULL; -- Before 18 that is a superuser's. It is over soon, if it is an honest one.
            END;
        END IF;
    END LOOP;
    RETURN found;
EXCEPTION WHEN insufficient_privilege THEN
    PERFORM sym.refuse_sessions(user_oid);
END $$;

-- Ends the sessions of a user that it finds, also those that don't show yet, and returns how
-- many those were; the caller asks again until there are none.
CREATE OR REPLACE FUNCTION sym.end_sessions(user_oid oid) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM sym.await_logins(user_oid);
    RETURN sym.end_these_sessions(user_oid, sym.sessions_of(user_oid));
END $$;

-- Refuses to go on while there is a prepared transaction of the user's, or one that was
-- prepared as a role that the user could take by SET ROLE: the run's, or one above it. Which
-- roles of a temporary user's somebody else has taken, nobody knows any more, so there it is any
-- that can't log in, and was prepared since the run began. What it has made is there only when it is committed,
-- and nobody could look for it then.
CREATE OR REPLACE FUNCTION sym.check_no_prepared(entry sym.grants) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    prepared text;
BEGIN
    SELECT string_agg(format('prepared transaction %L in database %I', p.gid, p.database), ', ') INTO prepared
        FROM pg_prepared_xacts p JOIN pg_roles r ON r.rolname = p.owner
        WHERE r.oid = entry.user_oid
           OR (current_setting('server_version_num')::int < 160000 OR entry.with_set)
              AND CASE WHEN entry.role_oid IS NULL THEN NOT r.rolcanlogin AND p.prepared >= entry.created_at
                       ELSE pg_has_role(entry.role_oid, r.oid, 'MEMBER') END;
    IF prepared IS NOT NULL THEN
        PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'prepared', 'user', entry.user_oid::regrole::text, 'blockers', prepared));
    END IF;
END $$;

-- In which databases a row level policy names one of these roles, or one that they are members of,
-- or may: the server asks when it plans which policies apply, and a membership that ends has it plan
-- nothing anew. By the policies, a million of a database at most, and not by the roles, on which
-- everybody may hang any number of large objects.
CREATE OR REPLACE FUNCTION sym.databases_of_policies(roles oid[]) RETURNS oid[]
LANGUAGE plpgsql AS $$
DECLARE
    named oid[] := sym.with_those_above(roles);
BEGIN
    RETURN ARRAY(SELECT d.oid FROM pg_database d
        WHERE (SELECT bool_or(s.refobjid = ANY (named)) OR count(*) = 1000000
               FROM (SELECT s.refobjid FROM pg_shdepend s
                     WHERE s.dbid = d.oid AND s.classid = 'pg_policy'::regclass LIMIT 1000000) s));
END $$;

-- Has all sessions of this database plan anew what they have planned, from the COMMIT on: a
-- change of any schema does, be it that nothing is changed. The application's, too: so only
-- where a policy is at stake.
CREATE OR REPLACE FUNCTION sym.forget_plans() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..10 LOOP
        BEGIN
            EXECUTE format('GRANT USAGE ON SCHEMA sym TO %I', current_user);
            RETURN;
        EXCEPTION WHEN internal_error THEN
            -- "tuple concurrently updated": by another end, which isn't enough where ours was not
            -- committed yet.
            IF attempt = 10 THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END $$;
