-- The end of a run of either strategy, and what ends by itself.

-- Whether this statement's time isn't over. When it is, `statement_timeout` cancels nothing any
-- more until the next one.
CREATE OR REPLACE FUNCTION sym.has_time() RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    longest interval := current_setting('statement_timeout')::interval;
BEGIN
    RETURN longest = interval '0' OR clock_timestamp() < statement_timestamp() + longest;
END $$;

-- What an end looks for behind what takes the access: the names of the run's roles, and of those
-- above them, that own something now (`owners`); how many more privileges of its own the user has
-- than when the run began (`gained`); and in which databases somebody may have `planned` by a policy
-- that names a role of the run, or its user.
--
-- Rows that nobody sees, of somebody's open transaction, have to be read like others, and have no
-- bound. A statement has one timeout: so all such looks are in one place, what a look that was
-- cut can't tell is taken for so, and nothing that isn't bounded comes behind it.
CREATE OR REPLACE FUNCTION sym.traces_of(entry sym.grants, OUT owners text[], OUT gained int, OUT planned oid[])
LANGUAGE plpgsql AS $$
DECLARE
    -- Sym's template, whose runs have no release, lent without looking. A user that was taken up has none either.
    lent oid[] := CASE WHEN entry.release IS NULL AND entry.strategy IS DISTINCT FROM 'temporary-user' THEN '{}'
                       ELSE coalesce(entry.taken_roles, ARRAY[entry.role_oid]) END;
BEGIN
    IF NOT sym.has_time() THEN
        RAISE query_canceled;
    END IF;
    owners := sym.owners_among(lent);
    gained := greatest(sym.own_privileges(entry.user_oid) - entry.privileges, 0);
    planned := sym.databases_of_policies(entry.taken_roles || coalesce(entry.role_oid, entry.user_oid));
EXCEPTION WHEN query_canceled THEN
    owners := coalesce(owners, ARRAY(SELECT r.rolname FROM pg_roles r WHERE r.oid = ANY (sym.with_those_above(lent)) ORDER BY r.rolname));
    gained := coalesce(gained, 100000); -- As many as are counted.
    planned := ARRAY(SELECT d.oid FROM pg_database d);
END $$;

-- Ends these sessions of a user, and waits until they are gone.
CREATE OR REPLACE FUNCTION sym.end_and_await(user_oid oid, pids int[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..40 LOOP
        IF sym.end_these_sessions(user_oid, pids) = 0 THEN
            RETURN;
        END IF;
        -- They end at their next interrupt check: a matter of milliseconds.
        PERFORM pg_sleep(CASE WHEN attempt < 5 THEN 0.002 ELSE 0.025 END);
    END LOOP;
    PERFORM sym.refuse_sessions(user_oid);
END $$;

-- The last stage of both strategies, in a transaction after the one that took
-- the access: ends the sessions that could keep it, or `everything` that the
-- user has, waits until they are gone, and only then the run has ended. A
-- temporary user, dropped by now, may have none at all. Returns how many there
-- were, which of the run's roles own something now, as nobody can make that any more, and
-- what the user has `gained`.
CREATE OR REPLACE FUNCTION sym.finish(this_run text, everything boolean) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry          sym.grants;
    has_to_end_all boolean;
    is_lent_again  boolean;
    pids           int[] := '{}';
    more           int[] := '{}';
    owners         text[];
    gained         int;
    planned        oid[];
    here           constant oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
BEGIN
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run;
    IF entry.state = 'ending' AND entry.strategy IS DISTINCT FROM 'temporary-user' THEN
        -- Of two runs that end at once, one has to see what it leaves to the other.
        PERFORM sym.lock_user(entry.user_oid);
        SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run;
    END IF;
    IF entry.state IS DISTINCT FROM 'ending' THEN
        RETURN '{"sessions": 0, "owners": [], "gained": 0}';
    END IF;
    has_to_end_all := everything OR entry.with_set OR entry.strategy = 'temporary-user';
    IF entry.strategy = 'temporary-user' AND EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid) THEN
        PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'blocked', 'user', entry.user_name,
            'blockers', 'the user has not been dropped yet'));
    END IF;
    -- Those that begin from now on can't take the role any more. Lent again by
    -- another run, it is that one's to end.
    is_lent_again := entry.user_oid IS NULL OR sym.other_runs(this_run, entry.role_oid, entry.user_oid) <> '[]';
    IF NOT is_lent_again THEN
        -- Since 16 no login can take a role that we lent.
        IF has_to_end_all OR current_setting('server_version_num')::int < 160000 THEN
            PERFORM sym.await_logins(entry.user_oid);
        END IF;
        pids := CASE WHEN has_to_end_all THEN sym.sessions_of(entry.user_oid) ELSE '{}' END
             || sym.keeping_sessions(entry.user_oid, entry.with_set);
        PERFORM sym.end_and_await(entry.user_oid, pids);
    END IF;
    -- Behind that, as others can make it long.
    SELECT t.owners, t.gained, t.planned INTO owners, gained, planned FROM sym.traces_of(entry) t;
    -- A temporary user was dropped, which has everybody plan anew, after the same look as here.
    IF entry.strategy = 'role' THEN
        -- By a view that REASSIGN OWNED has made the role's a session keeps what the role may.
        entry.with_set := entry.with_set OR owners <> '{}';
        IF is_lent_again THEN
            PERFORM sym.hand_on_set(entry);
        ELSE
            IF entry.with_set THEN
                more := sym.keeping_sessions(entry.user_oid, true);
            END IF;
            -- In another database there is nothing of ours to change.
            more := more || ARRAY(SELECT a.pid FROM pg_stat_activity a
                WHERE a.usesysid = entry.user_oid AND a.datid = ANY (planned) AND a.datid <> here);
            more := ARRAY(SELECT DISTINCT pid FROM unnest(more) pid WHERE pid <> ALL (pids));
            PERFORM sym.end_and_await(entry.user_oid, more);
            PERFORM sym.check_no_prepared(entry);
            -- At the last, as it keeps other ends waiting.
            IF here = ANY (planned) THEN
                PERFORM sym.forget_plans();
            END IF;
        END IF;
    END IF;
    -- The run that was looked at, not one that has begun anew since.
    UPDATE sym.grants g SET state = 'ended', ended_at = now(), with_set = entry.with_set
        WHERE g.run = this_run AND g.state = 'ending' AND g.created_at = entry.created_at;
    IF entry.strategy = 'temporary-user' THEN
        PERFORM sym.leave_heirs();
    END IF;
    RETURN jsonb_build_object('sessions', (SELECT count(DISTINCT pid) FROM unnest(pids || more) pid), 'owners', owners, 'gained', gained);
END $$;

-- An end failed: the run is overdue from now on, whatever its lease, so each sweep
-- tries again. Never a later expiry.
CREATE OR REPLACE FUNCTION sym.make_overdue(this_run text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE sym.grants g SET expires_at = now()
        WHERE g.run = this_run AND g.state IN ('pending', 'granted') AND g.expires_at > now();
END $$;

-- What the sweep has to look after: runs whose time is over, users half
-- removed, and grants that somebody ended elsewhere.
CREATE OR REPLACE FUNCTION sym.overdue() RETURNS TABLE (run text, strategy text, state text, user_name text, role_name text,
                                                        expires_at timestamptz, why text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM (
        SELECT g.run, g.strategy, g.state, g.user_name, g.role_name, g.expires_at,
               CASE WHEN g.expires_at <= now() THEN 'expired'
                    WHEN g.state = 'ending' THEN 'half-removed'
                    WHEN g.state = 'granted' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = g.user_oid) THEN 'ended-elsewhere'
                    WHEN g.state = 'granted' AND g.strategy = 'role' AND NOT g.standing
                         AND sym.own_membership(g.role_oid, g.user_oid) IS NULL THEN 'ended-elsewhere'
               END AS why
        FROM sym.grants g WHERE g.state <> 'ended'
    ) looked_at WHERE looked_at.why IS NOT NULL
    -- First what can still be used: what only has to be cleared away may have kept the
    -- last sweep busy. It is the order in which locks are taken, too.
    ORDER BY looked_at.state = 'ending', looked_at.strategy, looked_at.user_name, looked_at.run;
$$;

-- Everything that is open, for people.
CREATE OR REPLACE FUNCTION sym.open_grants() RETURNS SETOF sym.grants
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM sym.grants g WHERE g.state <> 'ended' ORDER BY g.expires_at, g.run;
$$;

-- The database's own switch, for pg_cron or a DBA in psql, when nobody else
-- comes: ends what is overdue. A role is given back, and a temporary user can't
-- do anything any more; the sweep removes it when it is back. What can't be
-- ended is reported, and doesn't keep the others.
--
-- Sessions that could keep an access are ended at once, and looked for once more
-- by the next call: before the COMMIT of this one another could begin.
--
-- Before the COMMIT nothing has ended, so no run has the others wait long for a lock. And nothing
-- is looked for behind what was taken, which others could make long: a call that takes something
-- finishes no run, and the next one does.
CREATE OR REPLACE FUNCTION sym.expire() RETURNS TABLE (run text, outcome text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    entry    record;
    disabled jsonb;
    finished jsonb;
    sessions int;
    has_taken    boolean := false;
    has_disabled boolean := false;
BEGIN
    -- What was said to have ended is not to be undone by a crash. Nor is it to wait for a standby
    -- that is away: nobody would cancel that here. Ends of the function's that wait so hold what
    -- is needed below, and are in effect when they don't.
    PERFORM set_config('synchronous_commit', 'local', true);
    PERFORM pg_cancel_backend(a.pid) FROM pg_stat_activity a
        WHERE a.usename = current_user AND a.wait_event = 'SyncRep'
          -- What commits often, in one statement, waits each time anew.
          AND a.xact_start < now() - interval '2 s';
    -- Until the end of this nobody else gets a lock that keeps us from them.
    FOR attempt IN 1..5 LOOP
        BEGIN
            PERFORM sym.end_lockers(false), set_config('lock_timeout', '200ms', true);
            LOCK TABLE sym.locks, sym.grants IN ROW EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF attempt = 5 THEN
                RAISE;
            END IF;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', '1s', true);
    FOR entry IN SELECT o.run, o.strategy, o.state, g.user_oid, g.user_name FROM sym.overdue() o JOIN sym.grants g ON g.run = o.run
                 ORDER BY o.state = 'ending', o.strategy, o.user_name, o.run LOOP
        run := entry.run;
        outcome := NULL;
        BEGIN
            IF entry.strategy = 'temporary-user' THEN
                -- Removing it is the sweep's; nobody is to use it until then.
                IF entry.state <> 'ending' OR sym.is_usable(entry.user_oid, entry.run)
                   -- Restored from a backup, with another OID.
                   OR sym.is_usable(sym.role_named(entry.user_name), entry.run) THEN
                    disabled := sym.disable_user(entry.run, 'expire');
                    outcome := CASE WHEN disabled ->> 'kept' = 'membership' THEN 'failed: the user has a role still'
                                    WHEN disabled ->> 'kept' IS NOT NULL THEN 'failed: the user can still log in'
                                    WHEN (disabled ->> 'has_user')::boolean THEN 'disabled' ELSE 'user-gone' END;
                END IF;
                has_disabled := has_disabled OR disabled IS NOT NULL;
            ELSIF entry.state = 'ending' AND NOT has_taken THEN
                finished := sym.finish(entry.run, false);
                outcome := 'ended';
                -- Nobody comes for the run any more.
                IF finished -> 'owners' <> '[]' THEN
                    outcome := 'ended, but roles that have to own nothing own something now, or too much is granted to them to tell: '
                        || (SELECT string_agg(owner, ', ') FROM jsonb_array_elements_text(finished -> 'owners') owner);
                END IF;
                IF NOT sym.has_time() THEN
                    -- It has looked as long as it could.
                    RETURN NEXT;
                    RETURN;
                END IF;
            ELSIF entry.state <> 'ending' THEN
                outcome := sym.give_back(entry.run, '{"by": "expire", "looks": false}') ->> 'outcome';
            END IF;
            has_taken := has_taken OR outcome IS NOT NULL AND outcome NOT LIKE 'failed: %' AND outcome NOT LIKE 'ended%';
        EXCEPTION
            WHEN query_canceled THEN
                -- By statement_timeout, or by somebody: what has ended has ended.
                outcome := 'failed: ' || SQLERRM;
                RETURN NEXT;
                RETURN;
            WHEN OTHERS THEN
                outcome := 'failed: ' || SQLERRM;
        END;
        -- By itself: a session that can't be ended doesn't give back what was taken.
        BEGIN
            IF entry.strategy = 'temporary-user' THEN
                IF outcome IS NULL AND entry.user_oid IS NOT NULL THEN
                    PERFORM sym.await_logins(entry.user_oid);
                END IF;
                -- A run that was only pending may have its user now.
                sessions := (SELECT sym.end_these_sessions(g.user_oid, sym.sessions_of(g.user_oid)) FROM sym.grants g WHERE g.run = entry.run
                    AND (sym.is_user_of(g.user_oid, g.run) OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = g.user_oid)));
                IF outcome IS NULL AND sessions > 0 THEN
                    outcome := 'sessions-ended';
                END IF;
            ELSE
                PERFORM sym.end_these_sessions(g.user_oid, sym.keeping_sessions(g.user_oid, g.with_set))
                    FROM sym.grants g WHERE g.run = entry.run AND g.state = 'ending';
            END IF;
        EXCEPTION
            WHEN query_canceled THEN
                outcome := 'failed: ' || SQLERRM;
                RETURN NEXT;
                RETURN;
            WHEN OTHERS THEN
                outcome := CASE WHEN outcome LIKE 'failed: %' THEN outcome ELSE format('failed: %s, but sessions remain: %s',
                                coalesce(outcome, 'disabled'), SQLERRM) END;
        END;
        IF outcome IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
    -- What such a user made others may have planned by a policy. Whether there is one, nobody looks here.
    IF has_disabled THEN
        BEGIN
            PERFORM sym.forget_plans();
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            NULL; -- When the user is dropped, they plan anew too.
        END;
    END IF;
    -- The next call ends them: to look for them keeps nothing waiting that is known.
    BEGIN
        PERFORM sym.take_up_users('expire');
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        NULL;
    END;
END $$;
