-- What the host, the sweep, pg_cron and a DBA in psql all call, so that one
-- place decides. Replaced as a whole by each migration.
--
-- What is called from outside is SECURITY DEFINER with the bot as its owner: whoever
-- calls it, the bot is the grantor; and its search_path is pinned. What only these call
-- has neither, and so works with theirs: setting both anew takes longer than most of
-- them. PUBLIC may execute none (the last statement).
--
-- A refusal is an exception with SQLSTATE SYMRF: whatever the transaction did
-- before is undone, and what was pipelined behind it doesn't run. Its DETAIL is
-- JSON: `code`, and what the sentence needs.
--
-- PL/pgSQL keeps the plan of a statement for the whole session, which LANGUAGE
-- sql makes anew in each transaction: what an event runs is in the former. A new
-- session makes each plan while a person waits, a tenth of a millisecond and more:
-- so statements are few, each stands in one place, and what needs no table is an
-- assignment (`done := …`), which PL/pgSQL evaluates without planning.
--
-- Locks are on rows of ours: an advisory lock could be taken, and kept, by everybody
-- who may log in. Lending and taking back lock the user (`sym.lock_user`) and then the
-- run's row; a temporary user's run is locked by its row alone. Nothing locks two
-- users, or two runs, but `expire`, which does so in the order of its rows.

CREATE OR REPLACE FUNCTION sym.refuse(code text, detail jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'sym refuses: %', code
        USING ERRCODE = 'SYMRF', DETAIL = (detail || jsonb_build_object('code', code))::text;
END $$;

-- Lending to, and taking back from, one user happen one after the other: two
-- runs that end together would each see the other still open otherwise.
CREATE OR REPLACE FUNCTION sym.lock_user(user_oid oid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Otherwise what is read behind the lock is as it was before.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sym: this has to run with READ COMMITTED' USING ERRCODE = 'active_sql_transaction';
    END IF;
    LOOP
        PERFORM FROM sym.locks l WHERE l.user_oid = lock_user.user_oid FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO sym.locks VALUES (lock_user.user_oid) ON CONFLICT DO NOTHING;
    END LOOP;
END $$;

-- CASCADE: a view that somebody else has made on one keeps nothing from being replaced.
-- Of versions before 7.
DROP FUNCTION IF EXISTS sym.lock_run(text), sym.keeping_sessions(oid) CASCADE;
-- Of versions before 8: what they return can't be replaced.
DROP FUNCTION IF EXISTS sym.facts_of(oid), sym.end_kept_sessions(text, boolean), sym.bar_user(oid) CASCADE;
-- Of versions before 9.
DROP FUNCTION IF EXISTS sym.take_membership(oid, oid, boolean), sym.check_no_prepared(oid) CASCADE;
-- Of versions before 11.
DROP FUNCTION IF EXISTS sym.databases_of_user(text) CASCADE;
-- Of versions before 14.
DROP FUNCTION IF EXISTS sym.confirm_user(text, boolean) CASCADE;

-- Names the transaction after its run, for pg_stat_activity and the server's log.
CREATE OR REPLACE FUNCTION sym.name_transaction(run text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    done text;
BEGIN
    done := set_config('application_name', 'sym-postgres ' || reverse(split_part(reverse(run), ':', 1)), true);
END $$;

-- The role of this name, or NULL.
CREATE OR REPLACE FUNCTION sym.role_named(name text) RETURNS oid
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- A longer one would be shortened to somebody else's; an empty one is an error.
    RETURN CASE WHEN octet_length(name) BETWEEN 1 AND 63 THEN to_regrole(quote_ident(name))::oid END;
END $$;

-- GRANT of a membership, by server version. Since 16 a membership can be
-- without SET: then the user can't keep the role by SET ROLE, and a REVOKE
-- bites at the next statement of an open session.
CREATE OR REPLACE FUNCTION sym.grant_membership(role_oid oid, user_oid oid, inherits boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Every option is named: a repeated GRANT would keep those it finds.
    EXECUTE format('GRANT %s TO %s', role_oid::regrole, user_oid::regrole)
        || CASE WHEN current_setting('server_version_num')::int >= 160000
                THEN format(' WITH INHERIT %s, SET FALSE', CASE WHEN inherits THEN 'TRUE' ELSE 'FALSE' END)
                ELSE '' END;
END $$;

-- REVOKE of the membership that this grantor made. Since 16 there is one row a grantor,
-- and a plain REVOKE may choose another's, and only warn; and what somebody passed on who
-- had its ADMIN option goes with it, or keeps it.
CREATE OR REPLACE FUNCTION sym.revoke_membership(role_oid oid, user_oid oid, grantor_oid oid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('REVOKE %s FROM %s', role_oid::regrole, user_oid::regrole)
        || CASE WHEN current_setting('server_version_num')::int >= 160000 AND grantor_oid IS NOT NULL
                THEN format(' GRANTED BY %s CASCADE', grantor_oid::regrole) ELSE '' END;
END $$;

-- Whether the memberships of a role that this function granted, or could have
-- granted, are there: up to 15 one row a pair, whoever granted it; since 16 one
-- row a grantor, of which those of the bot and of its groups count.
CREATE OR REPLACE FUNCTION sym.own_membership(role_oid oid, user_oid oid) RETURNS oid
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT m.grantor FROM pg_auth_members m
        WHERE m.roleid = role_oid AND m.member = user_oid
          AND (current_setting('server_version_num')::int < 160000 OR pg_has_role(current_user, m.grantor, 'USAGE'))
        LIMIT 1);
END $$;

-- What is to know of a role before it is lent, or is lent something: by the
-- indexes, so the number of roles on the server doesn't matter. `roles` are those
-- that it is a member of, `gives_roles` says that it may make others members of one,
-- `is_ours` that it is the bot or a user that we made.
CREATE OR REPLACE FUNCTION sym.facts_of(role_oid oid, OUT name text, OUT can_login boolean, OUT is_privileged boolean,
                                        OUT makes_databases boolean, OUT is_ours boolean, OUT is_owner boolean,
                                        OUT gives_roles boolean, OUT roles oid[])
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- Not all columns: without `rolconfig` one table less is read.
    SELECT r.rolname, r.rolcanlogin, r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls, r.rolcreatedb,
           EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass
                   AND d.refobjid = r.oid AND d.deptype = 'o'
                   -- Who has the role can make these without CREATE anywhere, and nothing runs by them.
                   AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_largeobject'::regclass)),
           coalesce(m.gives, false), coalesce(m.roles, '{}')
        INTO name, can_login, is_privileged, makes_databases, is_owner, gives_roles, roles
        FROM pg_roles r,
             (SELECT array_agg(m.roleid) AS roles, bool_or(m.admin_option) AS gives
              FROM pg_auth_members m WHERE m.member = role_oid) m
        WHERE r.oid = role_oid;
    is_ours := name = current_user OR coalesce(to_regrole('sym_managed') = ANY (roles), false);
END $$;

-- Whether a role that was lent owns something: it owned nothing then (`check_role`).
-- Up to 15 its holders can make what is the role's, by SET ROLE: a SECURITY DEFINER
-- function does what the role may for as long as it is there.
CREATE OR REPLACE FUNCTION sym.owns_something(role_oid oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    facts record;
BEGIN
    facts := sym.facts_of(role_oid);
    RETURN coalesce(facts.is_owner, false);
END $$;

-- Refuses a role that may not be lent, whatever the operator's list says: the
-- bot has no ADMIN option on it, or it is, or reaches through membership, one
-- that is privileged, ours, the system's, owns something, or gives roles to others;
-- up to 15 also one that may log in.
CREATE OR REPLACE FUNCTION sym.check_role(role_oid oid) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    level   oid[] := ARRAY[role_oid];
    above   oid[];
    reached oid;
    facts   record;
    role    text;
    why     text;
BEGIN
    -- Upwards from the role, the nearest first and by name, so that always the same
    -- one is named.
    WHILE level <> '{}' LOOP
        above := '{}';
        FOREACH reached IN ARRAY level LOOP
            facts := sym.facts_of(reached);
            role := coalesce(role, facts.name);
            why := CASE WHEN facts.is_privileged OR facts.makes_databases THEN 'privileged'
                        WHEN lower(left(facts.name, 3)) IN ('pg_', 'rds') THEN 'system'
                        WHEN facts.is_ours OR lower(left(facts.name, 4)) = 'sym_' THEN 'ours'
                        WHEN facts.is_owner THEN 'owner'
                        -- What its holder gives to itself would be kept.
                        WHEN facts.gives_roles THEN 'gives-roles'
                        -- By SET ROLE its holder can set its password.
                        WHEN facts.can_login AND current_setting('server_version_num')::int < 160000 THEN 'login' END;
            IF why IS NOT NULL THEN
                PERFORM sym.refuse('role-refused', jsonb_build_object('why', why, 'role', role, 'through', facts.name));
            END IF;
            above := above || facts.roles;
        END LOOP;
        IF above <> '{}' THEN
            above := ARRAY(SELECT r.oid FROM pg_roles r WHERE r.oid = ANY (above) ORDER BY r.rolname);
        END IF;
        level := above;
    END LOOP;
    IF NOT pg_has_role(current_user, role_oid, 'MEMBER WITH ADMIN OPTION') THEN
        PERFORM sym.refuse('role-refused', jsonb_build_object('why', 'no-admin', 'role', role, 'grant',
            format('GRANT %s TO %s WITH %s', role_oid::regrole, quote_ident(current_user),
                   CASE WHEN current_setting('server_version_num')::int >= 160000
                        THEN 'ADMIN TRUE, INHERIT FALSE, SET FALSE' ELSE 'ADMIN OPTION' END)));
    END IF;
END $$;

-- Refuses a user to whom nothing may be lent.
CREATE OR REPLACE FUNCTION sym.check_user(user_oid oid) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    facts record;
BEGIN
    facts := sym.facts_of(user_oid);
    IF NOT facts.can_login THEN
        PERFORM sym.refuse('user-refused', '{"why": "no-login"}');
    ELSIF facts.is_privileged THEN
        PERFORM sym.refuse('user-refused', '{"why": "privileged"}');
    ELSIF facts.is_ours THEN
        PERFORM sym.refuse('user-refused', '{"why": "ours"}');
    END IF;
END $$;

-- How many privileges are granted to a user itself, in all databases. What a
-- lent role let its holder grant to itself outlives the membership, and shows
-- here.
CREATE OR REPLACE FUNCTION sym.own_privileges(user_oid oid) RETURNS int
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- No more than can be counted at once: everybody may make millions of large objects.
    -- They hide nothing, as they are no role's: but where there are more, they count, so that it
    -- is said.
    RETURN (SELECT CASE WHEN count(*) < 100000 THEN count(*) FILTER (WHERE d.classid <> 'pg_largeobject'::regclass)
                        ELSE count(*) END::int
        FROM (SELECT d.classid FROM pg_shdepend d
              WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = user_oid AND d.deptype IN ('a', 'i')
                AND d.classid <> 'pg_auth_members'::regclass LIMIT 100000) AS d);
END $$;

-- Refuses to begin a run that has ended. The row is locked by the caller.
CREATE OR REPLACE FUNCTION sym.check_not_ended(entry sym.grants, replay_window_seconds int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF entry.state = 'ending' THEN
        PERFORM sym.refuse('run-ended', '{"why": "ending"}');
    ELSIF entry.state = 'ended' AND entry.ended_at > now() - make_interval(secs => replay_window_seconds) THEN
        PERFORM sym.refuse('run-ended', jsonb_build_object('why', 'replay', 'seconds',
            ceil(extract(epoch FROM entry.ended_at + make_interval(secs => replay_window_seconds) - now()))));
    ELSIF entry.state IN ('pending', 'granted') AND entry.expires_at <= now() THEN
        PERFORM sym.refuse('run-ended', '{"why": "expired"}');
    END IF;
END $$;

-- Lends a role. `request`: run, user, role, requester, approver, target,
-- release, lease_seconds, replay_window_seconds. One call, one transaction.
CREATE OR REPLACE FUNCTION sym.lend(request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_run   text := request ->> 'run';
    entry      sym.grants;
    this_user   oid;
    this_role   oid;
    other      sym.grants;
    grantor    oid;
    standing   boolean := false;
    already    boolean := false;
    kept_set   boolean := false;
    done       text;
BEGIN
    done := sym.name_transaction(this_run);
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run;
    IF entry.state IN ('pending', 'granted') AND entry.strategy <> 'role' THEN
        PERFORM sym.refuse('run-conflict', jsonb_build_object('strategy', entry.strategy));
    ELSIF entry.state = 'granted' THEN
        this_user := entry.user_oid;
    ELSE
        this_user := sym.role_named(request ->> 'user');
    END IF;
    IF this_user IS NULL THEN
        PERFORM sym.refuse('user-missing');
    END IF;
    done := sym.lock_user(this_user);
    -- A run that has begun or ended since it was looked up is found by the INSERT.
    IF entry.run IS NOT NULL THEN
        SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
        done := sym.check_not_ended(entry, (request ->> 'replay_window_seconds')::int);
        IF entry.state = 'granted' THEN
            -- The same event again, or a lost answer: the same answer, whatever
            -- the plugins would say today. Never a second grant, and never a
            -- later expiry.
            IF NOT entry.standing AND sym.own_membership(entry.role_oid, entry.user_oid) IS NULL THEN
                PERFORM sym.refuse('run-ended', '{"why": "elsewhere"}');
            END IF;
            RETURN to_jsonb(entry) || '{"repeated": true}';
        END IF;
    END IF;

    this_role := sym.role_named(request ->> 'role');
    IF this_role IS NULL THEN
        PERFORM sym.refuse('role-missing');
    END IF;
    done := sym.check_user(this_user);
    done := sym.check_role(this_role);

    SELECT * INTO other FROM sym.grants g
        WHERE g.user_oid = this_user AND g.role_oid = this_role AND g.state = 'granted' AND g.run <> this_run
        ORDER BY g.standing LIMIT 1;
    grantor := sym.own_membership(this_role, this_user);
    IF grantor IS NULL THEN
        IF other.run IS NOT NULL AND NOT other.standing THEN
            -- Somebody has taken back what these lent: that of this run is not theirs to go on with.
            -- But of those of an older server we can't know.
            WITH ended AS (
                UPDATE sym.grants g SET state = 'ended', ended_at = now(), ended_by = 'elsewhere'
                    WHERE g.user_oid = this_user AND g.role_oid = this_role AND g.state = 'granted' AND NOT g.standing
                    AND g.run <> this_run AND NOT sym.is_of_older_server(g) RETURNING g.with_set)
            SELECT coalesce(bool_or(ended.with_set), false) INTO kept_set FROM ended;
            SELECT * INTO other FROM sym.grants g
                WHERE g.user_oid = this_user AND g.role_oid = this_role AND g.state = 'granted' AND g.run <> this_run LIMIT 1;
        END IF;
        -- Since 16 also by what others have granted, which stays beside ours.
        already := pg_has_role(this_user, this_role, 'MEMBER');
        done := sym.grant_membership(this_role, this_user);
        grantor := sym.own_membership(this_role, this_user);
        IF other.run IS NOT NULL THEN
            -- Open runs that found a membership of somebody else's, which has
            -- been taken away since: the last of all to end takes ours back.
            UPDATE sym.grants g SET standing = false, grantor_oid = grantor
                WHERE g.user_oid = this_user AND g.role_oid = this_role AND g.state = 'granted' AND g.standing;
        END IF;
    ELSIF other.run IS NOT NULL THEN
        -- Lent already by another run: the last of them to end takes it back.
        grantor := other.grantor_oid;
        standing := other.standing;
    ELSE
        already := true;
        standing := true;
    END IF;
    -- The absence of an error proves nothing: look.
    IF NOT pg_has_role(this_user, this_role,
        CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'USAGE' ELSE 'MEMBER' END) THEN
        PERFORM sym.refuse('role-refused', '{"why": "no-effect"}');
    END IF;

    INSERT INTO sym.grants AS g (run, strategy, state, requester, approver, target, release, user_oid, user_name,
                                 role_oid, role_name, grantor_oid, standing, privileges, granted_at, expires_at, with_set)
        VALUES (this_run, 'role', 'granted', request ->> 'requester', request ->> 'approver', request ->> 'target',
                request ->> 'release', this_user, request ->> 'user', this_role, request ->> 'role', grantor, standing,
                sym.own_privileges(this_user), now(), now() + make_interval(secs => (request ->> 'lease_seconds')::int), kept_set)
        ON CONFLICT (run) DO UPDATE SET
            strategy = excluded.strategy, state = excluded.state, requester = excluded.requester,
            approver = excluded.approver, target = excluded.target, release = excluded.release,
            user_oid = excluded.user_oid, user_name = excluded.user_name, role_oid = excluded.role_oid,
            role_name = excluded.role_name, grantor_oid = excluded.grantor_oid, standing = excluded.standing,
            privileges = excluded.privileges, secret = NULL, created_at = now(), granted_at = excluded.granted_at, expires_at = excluded.expires_at,
            ended_at = NULL, ended_by = NULL, with_set = excluded.with_set, server_version = excluded.server_version
        -- The row that was checked above, not one that was put there since.
        WHERE g.state = 'ended' AND g.ended_at IS NOT DISTINCT FROM entry.ended_at
        RETURNING * INTO entry;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sym: the run was begun or ended at the same moment' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN to_jsonb(entry) || jsonb_build_object('already', already);
END $$;

-- Has a new session read the catalogs that its first event would wait for, and plan
-- its dearest statement. Not more: a server that is near has no time for it before
-- the event is there. Changes nothing, and nobody needs its success.
CREATE OR REPLACE FUNCTION sym.get_ready() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    done record;
BEGIN
    done := sym.facts_of(current_user::regrole);
END $$;

-- What still leads from a user to a role: memberships of its own, and those
-- through other roles.
CREATE OR REPLACE FUNCTION sym.remaining_paths(role_oid oid, user_oid oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('through', m.roleid::regrole::text, 'grantor', m.grantor::regrole::text)
                                  ORDER BY m.roleid::regrole::text, m.grantor), '[]')
        FROM pg_auth_members m
        WHERE m.member = user_oid AND (m.roleid = role_oid OR pg_has_role(m.roleid, role_oid, 'MEMBER')));
END $$;

-- The other open runs that lend the same role to the same user.
CREATE OR REPLACE FUNCTION sym.other_runs(this_run text, role_oid oid, user_oid oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(g.run ORDER BY g.expires_at), '[]') FROM sym.grants g
        WHERE g.user_oid = other_runs.user_oid AND g.role_oid = other_runs.role_oid AND g.state = 'granted'
          AND g.run <> this_run);
END $$;

-- Whether the membership that this grantor made is there. Up to 15 there is one
-- row a pair: one that was made anew by somebody else is not ours to take.
CREATE OR REPLACE FUNCTION sym.is_granted_by(role_oid oid, user_oid oid, grantor_oid oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT EXISTS (SELECT FROM pg_auth_members m
                       WHERE m.roleid = role_oid AND m.member = user_oid AND m.grantor = grantor_oid));
END $$;

-- Whether a membership can be kept by SET ROLE, as far as the server says so: since 16.
CREATE OR REPLACE FUNCTION sym.is_with_set(role_oid oid, user_oid oid, grantor_oid oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- By its name in JSON: before 16 there is no such column.
    RETURN (SELECT coalesce(bool_or((to_jsonb(m) ->> 'set_option')::boolean), false) FROM pg_auth_members m
            WHERE m.roleid = role_oid AND m.member = user_oid AND m.grantor = grantor_oid);
END $$;

-- Whether a run was begun on a server before 16, and this one is not: what was granted
-- there is a superuser's after `pg_upgrade` and `pg_dumpall`, which keep no grantor.
CREATE OR REPLACE FUNCTION sym.is_of_older_server(entry sym.grants) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN current_setting('server_version_num')::int >= 160000 AND coalesce(entry.server_version < 160000, true);
END $$;

-- What a session can have kept is the last run's to end, of those that lend the same.
CREATE OR REPLACE FUNCTION sym.hand_on_set(entry sym.grants) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF entry.with_set THEN
        UPDATE sym.grants g SET with_set = true
            WHERE g.user_oid = entry.user_oid AND g.role_oid = entry.role_oid AND g.state = 'granted' AND NOT g.with_set;
    END IF;
END $$;

-- The other databases of the cluster in which this function's user has a schema with
-- functions: the ledger is the only one that it makes. What hangs on a user is known everywhere.
CREATE OR REPLACE FUNCTION sym.other_ledgers() RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ARRAY(SELECT d.datname::text FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = current_user::regrole AND s.deptype = 'o'
          AND d.datname <> current_database()
        GROUP BY d.datname HAVING bool_or(s.classid = 'pg_namespace'::regclass) AND bool_or(s.classid = 'pg_proc'::regclass)
        ORDER BY d.datname);
END $$;

-- Ends a run of the strategy `role`, or one that never began. `ending`: by,
-- requester, target, sessions (`keep`, or not), of a run that is not in the ledger
-- `template` (user, role), or `untold`. A run of a temporary user is
-- only named: removing it needs commits in between (`disable_user`, …,
-- `drop_user`).
--
-- Where a session could keep what was taken back, the run is `ending` until
-- `finish` has looked, which is only worth something after the COMMIT
-- of this.
CREATE OR REPLACE FUNCTION sym.give_back(this_run text, ending jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry     sym.grants;
    has_user  boolean;
    has_role  boolean;
    namesake  oid;
    role_namesake oid;
    others    jsonb := '[]';
    paths     jsonb := '[]';
    outcome   text;
    keeps     boolean;
    had_set   boolean := false;
    owns      boolean;
    others_grantor text;
    other_ledger text;
    done      text;
BEGIN
    done := sym.name_transaction(this_run);
    LOOP
        SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run;
        IF NOT FOUND THEN
            -- It may be one of Sym's template's: then it is a run of ours now.
            CONTINUE WHEN sym.adopt_from_template(this_run, ending);
            -- It may be under way, and then this waits for it; or it never
            -- began, and then it must not begin after its end.
            INSERT INTO sym.grants (run, state, requester, target, ended_at, ended_by)
                VALUES (this_run, 'ended', ending ->> 'requester', ending ->> 'target', now(), ending ->> 'by')
                ON CONFLICT DO NOTHING
                RETURNING * INTO entry;
            CONTINUE WHEN NOT FOUND;
            -- With the row, which isn't there then: nobody is beginning the run.
            IF ending ? 'untold' THEN
                PERFORM sym.refuse('run-untold');
            END IF;
            other_ledger := (sym.other_ledgers())[1];
            IF other_ledger IS NOT NULL THEN
                PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'other-ledger', 'database', other_ledger));
            END IF;
            RETURN to_jsonb(entry) || jsonb_build_object('outcome', 'never-began',
                -- Of the template's what somebody else granted since, or an upgrade made somebody else's.
                'remaining', sym.remaining_paths(sym.role_named(ending #>> '{template,role}'), sym.role_named(ending #>> '{template,user}')));
        END IF;
        IF entry.state = 'ended' THEN
            -- The same event again, or a lost answer: what there is of the access today.
            others := sym.other_runs(this_run, entry.role_oid, entry.user_oid);
            RETURN to_jsonb(entry) || jsonb_build_object('outcome', CASE WHEN others <> '[]' THEN 'shared' ELSE 'already-ended' END,
                'others', others, 'remaining', sym.remaining_paths(
                    coalesce(entry.role_oid, sym.role_named(ending #>> '{template,role}')),
                    coalesce(entry.user_oid, sym.role_named(ending #>> '{template,user}'))));
        END IF;
        IF entry.strategy = 'temporary-user' THEN
            RETURN to_jsonb(entry) || '{"outcome": "temporary-user"}';
        END IF;
        done := sym.lock_user(entry.user_oid);
        SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
        CONTINUE WHEN entry.state = 'ended';
        EXIT;
    END LOOP;

    has_user := EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid);
    has_role := EXISTS (SELECT FROM pg_roles WHERE oid = entry.role_oid);
    -- The name is there, the OID isn't: another of that name, or a restored database.
    -- Where that one has what was lent we can't tell whose it is, so we say so.
    IF entry.state = 'granted' AND NOT entry.standing AND NOT (has_user AND has_role) THEN
        namesake := CASE WHEN has_user THEN entry.user_oid ELSE sym.role_named(entry.user_name) END;
        role_namesake := CASE WHEN has_role THEN entry.role_oid ELSE sym.role_named(entry.role_name) END;
        IF EXISTS (SELECT FROM pg_auth_members m WHERE m.member = namesake AND m.roleid = role_namesake)
           -- By another run, it is that one's to take back.
           AND sym.other_runs(this_run, role_namesake, namesake) = '[]' THEN
            PERFORM sym.refuse('access-remains', jsonb_build_object('why', CASE WHEN has_user THEN 'other-role' ELSE 'other-user' END,
                'user', entry.user_name, 'role', entry.role_name));
        END IF;
    END IF;

    IF has_user AND has_role THEN
        others := sym.other_runs(this_run, entry.role_oid, entry.user_oid);
        IF entry.state = 'granted' AND NOT entry.standing AND others = '[]' THEN
            namesake := sym.role_named(entry.user_name);
            IF sym.is_granted_by(entry.role_oid, entry.user_oid, entry.grantor_oid) THEN
                had_set := sym.is_with_set(entry.role_oid, entry.user_oid, entry.grantor_oid);
                BEGIN
                    done := sym.revoke_membership(entry.role_oid, entry.user_oid, entry.grantor_oid);
                EXCEPTION WHEN insufficient_privilege THEN
                    NULL;
                END;
                -- Up to 15 a REVOKE of what another granted only warns: look.
                IF sym.is_granted_by(entry.role_oid, entry.user_oid, entry.grantor_oid) THEN
                    PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'not-revoked', 'user', entry.user_oid::regrole::text,
                        'role', entry.role_oid::regrole::text));
                END IF;
            ELSIF namesake <> entry.user_oid AND sym.is_granted_by(entry.role_oid, namesake, entry.grantor_oid)
                  AND sym.other_runs(this_run, entry.role_oid, namesake) = '[]' THEN
                -- Not with whom the row says, but with the user of its name:
                -- somebody has changed the row, or the users.
                PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'other-user', 'user', entry.user_name, 'role', entry.role_name));
            END IF;
        END IF;
        IF entry.state = 'granted' AND NOT entry.standing AND sym.is_of_older_server(entry) THEN
            others_grantor := (SELECT min(m.grantor::regrole::text) FROM pg_auth_members m
                WHERE m.member = entry.user_oid AND m.roleid = entry.role_oid AND NOT pg_has_role(current_user, m.grantor, 'USAGE'));
            IF others_grantor IS NOT NULL THEN
                PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'upgraded', 'user', entry.user_oid::regrole::text,
                    'role', entry.role_oid::regrole::text, 'grantor', others_grantor));
            END IF;
        END IF;
        paths := sym.remaining_paths(entry.role_oid, entry.user_oid);
    END IF;

    outcome := CASE WHEN NOT has_user THEN 'user-gone' WHEN NOT has_role THEN 'role-gone'
                    WHEN entry.standing THEN 'standing' WHEN others <> '[]' THEN 'shared' ELSE 'taken-back' END;
    keeps := outcome IN ('taken-back', 'user-gone') AND NOT entry.standing AND ending ->> 'sessions' IS DISTINCT FROM 'keep';
    -- Sym's template, whose runs have no release, lent without looking.
    owns := entry.release IS NOT NULL AND sym.owns_something(entry.role_oid);
    UPDATE sym.grants g SET state = CASE WHEN keeps THEN 'ending' ELSE 'ended' END,
                            ended_at = CASE WHEN keeps THEN NULL ELSE now() END, ended_by = ending ->> 'by',
                            -- Also where it was said before; and by a view that REASSIGN OWNED has made
                            -- the role's a session keeps what the role may.
                            with_set = had_set OR owns OR g.with_set
        WHERE g.run = this_run RETURNING * INTO entry;
    IF others <> '[]' THEN
        done := sym.hand_on_set(entry);
    END IF;
    RETURN to_jsonb(entry) || jsonb_build_object('outcome', outcome,
        'others', others, 'remaining', paths, 'role_owns', owns, 'gained', CASE WHEN has_user
            THEN greatest(sym.own_privileges(entry.user_oid) - entry.privileges, 0) ELSE 0 END);
END $$;

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

-- The sessions of a user that could keep a role that was taken back. Up to 15
-- one may have done SET ROLE, which nobody else can see; since 16 only where the
-- membership was `with_set`. Otherwise a transaction is what remains: an open cursor,
-- or a prepared statement, which is checked anew only where something has to be locked.
CREATE OR REPLACE FUNCTION sym.keeping_sessions(user_oid oid, with_set boolean) RETURNS int[]
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_stat_clear_snapshot();
    -- Of other people's sessions the bot sees no state and no times, but these.
    RETURN (SELECT coalesce(array_agg(a.pid), '{}') FROM pg_stat_activity a
            WHERE a.usesysid = user_oid AND a.pid <> pg_backend_pid()
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

-- Ends these sessions, as far as they are this user's, and returns how many of
-- them it found.
CREATE OR REPLACE FUNCTION sym.end_these_sessions(user_oid oid, pids int[]) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    found  int;
    worker int;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    found := (SELECT count(pg_terminate_backend(a.pid))::int FROM pg_stat_activity a
              WHERE a.usesysid = end_these_sessions.user_oid AND a.pid = ANY (pids));
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

-- Refuses to go on while there is a prepared transaction of the user's, or one that was
-- prepared as a role that the user could take by SET ROLE: the run's, or one above it. Of a
-- temporary user's roles nobody knows any more, so there it is any that can't log in, and
-- was prepared since the run began. What it has made is there only when it is committed,
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

-- In which databases a row level policy names a role, or one that it is a member of: the server
-- asks when it plans which policies apply, and a membership that ends has it plan nothing anew.
CREATE OR REPLACE FUNCTION sym.databases_of_policies(role_oid oid) RETURNS oid[]
LANGUAGE plpgsql AS $$
DECLARE
    roles oid[] := ARRAY[role_oid];
    above oid[] := roles;
BEGIN
    -- Twice the index: a recursive query takes ten times as long.
    LOOP
        above := ARRAY(SELECT m.roleid FROM pg_auth_members m WHERE m.member = ANY (above) AND m.roleid <> ALL (roles));
        EXIT WHEN above = '{}';
        roles := roles || above;
    END LOOP;
    RETURN ARRAY(SELECT s.dbid FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = ANY (roles) AND s.classid = 'pg_policy'::regclass);
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

-- The last stage of both strategies, in a transaction after the one that took
-- the access: ends the sessions that could keep it, or `everything` that the
-- user has, waits until they are gone, and only then the run has ended. A
-- temporary user, dropped by now, may have none at all. Returns how many there
-- were, and whether the role owns something now: nobody can make that any more.
CREATE OR REPLACE FUNCTION sym.finish(this_run text, everything boolean) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry          sym.grants;
    has_to_end_all boolean;
    is_lent_again  boolean := false;
    pids           int[] := '{}';
    here           oid;
    planned        oid[] := '{}';
BEGIN
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run;
    IF entry.state = 'ending' AND entry.strategy IS DISTINCT FROM 'temporary-user' THEN
        -- Of two runs that end at once, one has to see what it leaves to the other.
        PERFORM sym.lock_user(entry.user_oid);
        SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run;
    END IF;
    IF entry.state IS DISTINCT FROM 'ending' THEN
        RETURN '{"sessions": 0, "role_owns": false}';
    END IF;
    has_to_end_all := everything OR entry.with_set;
    IF entry.strategy = 'temporary-user' THEN
        has_to_end_all := true;
        IF EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid) THEN
            PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'blocked', 'user', entry.user_name,
                'blockers', 'the user has not been dropped yet'));
        END IF;
    END IF;
    -- Those that begin from now on can't take the role any more. Lent again by
    -- another run, it is that one's to end.
    IF entry.user_oid IS NOT NULL AND sym.other_runs(this_run, entry.role_oid, entry.user_oid) = '[]' THEN
        -- Since 16 no login can take a role that we lent.
        IF has_to_end_all OR current_setting('server_version_num')::int < 160000 THEN
            PERFORM sym.await_logins(entry.user_oid);
        END IF;
        pids := CASE WHEN has_to_end_all THEN sym.sessions_of(entry.user_oid) ELSE sym.keeping_sessions(entry.user_oid, false) END;
        IF entry.strategy = 'role' THEN
            planned := sym.databases_of_policies(entry.role_oid);
            IF planned <> '{}' THEN
                here := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
                -- In another database there is nothing of ours to change.
                pids := pids || ARRAY(SELECT a.pid FROM pg_stat_activity a
                    WHERE a.usesysid = entry.user_oid AND a.datid = ANY (planned) AND a.datid <> here AND a.pid <> ALL (pids));
            END IF;
        END IF;
    ELSE
        is_lent_again := true;
        PERFORM sym.hand_on_set(entry);
    END IF;
    FOR attempt IN 1..40 LOOP
        IF sym.end_these_sessions(entry.user_oid, pids) = 0 THEN
            -- A temporary user was dropped after the same look; what is lent again, is the last run's.
            IF entry.strategy = 'role' AND NOT is_lent_again THEN
                PERFORM sym.check_no_prepared(entry);
            END IF;
            -- At the last, as it keeps other ends waiting.
            IF here = ANY (planned) THEN
                PERFORM sym.forget_plans();
            END IF;
            -- The run that was looked at, not one that has begun anew since.
            UPDATE sym.grants g SET state = 'ended', ended_at = now()
                WHERE g.run = this_run AND g.state = 'ending' AND g.created_at = entry.created_at;
            IF entry.strategy = 'temporary-user' THEN
                PERFORM sym.leave_heirs();
            END IF;
            RETURN jsonb_build_object('sessions', cardinality(pids),
                'role_owns', entry.release IS NOT NULL AND sym.owns_something(entry.role_oid));
        END IF;
        -- They end at their next interrupt check: a matter of milliseconds.
        PERFORM pg_sleep(CASE WHEN attempt < 5 THEN 0.002 ELSE 0.025 END);
    END LOOP;
    PERFORM sym.refuse_sessions(entry.user_oid);
END $$;

-- Begins a run of a temporary user: a committed row that says what may exist
-- from now on, before any of it does. `request`: run, user, secret, requester,
-- approver, target, release, lease_seconds, replay_window_seconds.
CREATE OR REPLACE FUNCTION sym.prepare_user(request jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_run text := request ->> 'run';
    entry    sym.grants;
    done     text;
BEGIN
    done := sym.name_transaction(this_run);
    LOOP
        SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
        IF FOUND THEN
            done := sym.check_not_ended(entry, (request ->> 'replay_window_seconds')::int);
            IF entry.state IN ('pending', 'granted') THEN
                IF entry.strategy <> 'temporary-user' THEN
                    PERFORM sym.refuse('run-conflict', jsonb_build_object('strategy', entry.strategy));
                ELSIF entry.state = 'granted' AND NOT sym.is_user_of(entry.user_oid, this_run)
                      AND NOT sym.is_user_of(sym.role_named(entry.user_name), this_run) THEN
                    PERFORM sym.refuse('run-ended', jsonb_build_object('why', 'user-gone', 'user', entry.user_name));
                END IF;
                IF entry.state = 'pending' AND entry.release IS DISTINCT FROM request ->> 'release' THEN
                    -- Nothing that an earlier try made counts: this one's release decides.
                    UPDATE sym.grants g SET release = request ->> 'release' WHERE g.run = this_run RETURNING * INTO entry;
                END IF;
                RETURN to_jsonb(entry) || '{"repeated": true}';
            END IF;
        END IF;
        INSERT INTO sym.grants AS g (run, strategy, state, requester, approver, target, release, user_name, secret, expires_at)
            VALUES (this_run, 'temporary-user', 'pending', request ->> 'requester', request ->> 'approver', request ->> 'target',
                    request ->> 'release', request ->> 'user', request ->> 'secret',
                    now() + make_interval(secs => (request ->> 'lease_seconds')::int))
            ON CONFLICT (run) DO UPDATE SET
                strategy = excluded.strategy, state = excluded.state, requester = excluded.requester,
                approver = excluded.approver, target = excluded.target, release = excluded.release, user_oid = NULL,
                user_name = excluded.user_name, role_oid = NULL, role_name = NULL, grantor_oid = NULL, standing = false,
                privileges = NULL, secret = excluded.secret, created_at = now(), granted_at = NULL,
                expires_at = excluded.expires_at, ended_at = NULL, ended_by = NULL, with_set = false,
                server_version = excluded.server_version
            -- The row that was checked above, not one that was put there since.
            WHERE g.state = 'ended' AND g.ended_at IS NOT DISTINCT FROM entry.ended_at
            RETURNING * INTO entry;
        IF FOUND THEN
            RETURN to_jsonb(entry);
        END IF;
        -- It has begun, or ended, at the same moment: look again.
    END LOOP;
END $$;

-- The row of a run whose user is about to be made, locked until the end of the
-- transaction: until then nobody else begins or ends the run.
CREATE OR REPLACE FUNCTION sym.pending_run(this_run text) RETURNS sym.grants
LANGUAGE plpgsql AS $$
DECLARE
    entry sym.grants;
    done  text;
BEGIN
    done := sym.name_transaction(this_run);
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM sym.refuse('run-conflict', '{"why": "unknown"}');
    END IF;
    done := sym.check_not_ended(entry, 0);
    IF entry.state = 'ended' THEN
        PERFORM sym.refuse('run-ended', '{"why": "overtaken"}');
    ELSIF entry.state = 'granted' THEN
        PERFORM sym.refuse('already-granted');
    END IF;
    RETURN entry;
END $$;

-- The first step of the transaction that makes the user: holds the run, whose user
-- has to have this name. As long as it does, the secret may be made beside the
-- steps that follow: who ends the run waits, and deletes it.
CREATE OR REPLACE FUNCTION sym.hold_run(this_run text, user_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry sym.grants;
BEGIN
    entry := sym.pending_run(this_run);
    IF entry.user_name IS DISTINCT FROM hold_run.user_name THEN
        PERFORM sym.refuse('run-conflict', jsonb_build_object('why', 'renamed', 'user', entry.user_name));
    END IF;
END $$;

-- The run that a role was made for, as its comment says.
CREATE OR REPLACE FUNCTION sym.run_in_comment(role_oid oid) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (shobj_description(role_oid, 'pg_authid')::jsonb) ->> 'run';
EXCEPTION WHEN invalid_text_representation THEN
    RETURN NULL; -- A comment that is no JSON is not ours.
END $$;

-- Whether a role is the temporary user of this run: the marker role and the
-- comment say so, which nobody sets but us and who may do worse.
CREATE OR REPLACE FUNCTION sym.is_user_of(user_oid oid, this_run text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles marker ON marker.oid = m.roleid
                   WHERE m.member = user_oid AND marker.rolname = 'sym_managed')
       -- Without a comment it is NULL, and NOT NULL is not true.
       AND coalesce(sym.run_in_comment(user_oid) = this_run, false);
END $$;

-- The memberships to take of a temporary user, by the indexes however many there are of
-- others: neither OR nor a join, for which a plan may read all memberships, or all roles. In
-- LANGUAGE sql it becomes part of the statement that asks.
CREATE OR REPLACE FUNCTION sym.memberships_of(user_oid oid) RETURNS TABLE (roleid oid, member oid, grantor oid)
LANGUAGE sql STABLE AS $$
    SELECT m.roleid, m.member, m.grantor FROM pg_auth_members m
        WHERE m.member = user_oid
          AND (SELECT r.rolname FROM pg_roles r WHERE r.oid = m.roleid) <> 'sym_managed'
    UNION ALL
    -- Up to 14 a user can make others members of itself, whom SET ROLE asks for no login.
    SELECT m.roleid, m.member, m.grantor FROM pg_auth_members m
        -- Not `=`: where most memberships are of one role, all seem to be of any.
        WHERE m.roleid BETWEEN user_oid AND user_oid
          AND (SELECT r.rolname FROM pg_roles r WHERE r.oid = m.member) NOT IN (current_user, 'sym_admins');
$$;

-- Whether there is something to take of a temporary user that is being removed: it may
-- log in, or has a role, or somebody is a member of it.
CREATE OR REPLACE FUNCTION sym.is_usable(user_oid oid, this_run text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN sym.is_user_of(user_oid, this_run)
       AND (EXISTS (SELECT FROM pg_roles r WHERE r.oid = user_oid AND r.rolcanlogin)
            OR EXISTS (SELECT FROM sym.memberships_of(user_oid) m
                       -- What somebody else granted since 16 isn't ours to take.
                       WHERE current_setting('server_version_num')::int < 160000 OR pg_has_role(current_user, m.grantor, 'USAGE')));
END $$;

-- Who owns what is granted to a user, in all databases. Each once: anybody may have granted
-- any number of things, so there is an end to them.
CREATE OR REPLACE FUNCTION sym.owners_of_granted(user_oid oid) RETURNS oid[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(SELECT DISTINCT owner.refobjid
        FROM (SELECT s.dbid, s.classid, s.objid FROM pg_shdepend s
              WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = user_oid AND s.deptype = 'a' LIMIT 100000) s,
        -- OFFSET: in this order, however few there are when it is planned. And not by the roles,
        -- though owners are always such: there is an index for that, which would be taken. A
        -- table's own row, as there may be one for each of its columns.
        LATERAL (SELECT o.refobjid FROM pg_shdepend o WHERE o.dbid = s.dbid AND o.classid = s.classid AND o.objid = s.objid
                 AND o.objsubid = 0 AND o.deptype = 'o' OFFSET 0) AS owner);
END $$;

-- Makes the user of a prepared run, or takes up one that an earlier try left.
-- The setup's statements and `confirm_user` follow in the same transaction.
-- Without `can_login` the user is made but can't be used until `confirm_user`:
-- for a setup in another database, which no transaction spans. `made_by` is the transaction.
CREATE OR REPLACE FUNCTION sym.create_user(this_run text, verifier text, connections int, can_login boolean) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry    sym.grants;
    this_user oid;
    options  text;
    membership  record;
    database    text;
    is_taken_up boolean := false;
    done     text;
BEGIN
    entry := sym.pending_run(this_run);
    options := format('%s CONNECTION LIMIT %s PASSWORD %L VALID UNTIL %L',
                      CASE WHEN can_login THEN 'LOGIN' ELSE 'NOLOGIN' END, connections, verifier, entry.expires_at);
    this_user := sym.role_named(entry.user_name);
    IF this_user IS NULL THEN
        IF sym.role_named('sym_managed') IS NULL THEN
            PERFORM sym.refuse('setup', '{"why": "no-marker"}');
        END IF;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT ', entry.user_name) || options;
        EXCEPTION WHEN insufficient_privilege THEN
            PERFORM sym.refuse('setup', '{"why": "no-createrole"}');
        END;
        this_user := sym.role_named(entry.user_name);
        done := sym.grant_membership(sym.role_named('sym_managed'), this_user, false);
        -- Since 16 only who made a role, or was given ADMIN on it, can drop it:
        -- another bot must be able to, and this one must not be dropped while
        -- its users live.
        IF current_setting('server_version_num')::int >= 160000 AND sym.role_named('sym_admins') IS NOT NULL THEN
            EXECUTE format('GRANT %I TO sym_admins WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', entry.user_name);
        END IF;
        EXECUTE format('COMMENT ON ROLE %I IS %L', entry.user_name,
                       jsonb_build_object('sym', 1, 'run', this_run, 'requester', entry.requester, 'expires', entry.expires_at));
    ELSIF sym.is_user_of(this_user, this_run) THEN
        EXECUTE format('ALTER ROLE %I ', entry.user_name) || options;
        -- What the earlier try gave may be more than this one asks for.
        FOR membership IN SELECT m.roleid, m.grantor FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
                          WHERE m.member = this_user AND r.rolname <> 'sym_managed' LOOP
            BEGIN
                done := sym.revoke_membership(membership.roleid, this_user, membership.grantor);
            EXCEPTION WHEN insufficient_privilege OR dependent_objects_still_exist THEN
                NULL; -- Somebody else's.
            END;
        END LOOP;
        EXECUTE format('ALTER ROLE %I RESET ALL', entry.user_name);
        FOR database IN SELECT d.datname FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
                        WHERE s.setrole = this_user LOOP
            EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', entry.user_name, database);
        END LOOP;
        is_taken_up := true;
    ELSE
        PERFORM sym.refuse('user-refused', '{"why": "exists"}');
    END IF;
    UPDATE sym.grants g SET user_oid = this_user WHERE g.run = this_run RETURNING * INTO entry;
    RETURN to_jsonb(entry) || jsonb_build_object('taken_up', is_taken_up, 'made_by', pg_current_xact_id()::text);
END $$;

-- Makes the run's user a member of a role.
CREATE OR REPLACE FUNCTION sym.admit_user(this_run text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_user oid := (SELECT g.user_oid FROM sym.grants g WHERE g.run = this_run);
    this_role oid := sym.role_named(role);
    done      text;
BEGIN
    IF this_role IS NULL THEN
        PERFORM sym.refuse('role-missing', jsonb_build_object('role', role));
    END IF;
    done := sym.check_role(this_role);
    done := sym.grant_membership(this_role, this_user);
    IF NOT pg_has_role(this_user, this_role, 'MEMBER') THEN
        PERFORM sym.refuse('role-refused', jsonb_build_object('role', role, 'why', 'no-effect'));
    END IF;
END $$;

-- The last step before COMMIT: the run is granted. `made_by` is the transaction of
-- `create_user` where that is not this one: then the user gets LOGIN now.
CREATE OR REPLACE FUNCTION sym.confirm_user(this_run text, made_by text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry     sym.grants;
    owner     oid;
    this_role oid;
    now_is    text;
    done      text;
BEGIN
    done := sym.name_transaction(this_run);
    -- `create_user` has written the row. Were it not by this transaction, a setup
    -- statement would have ended the one that we began.
    UPDATE sym.grants g SET state = 'granted', granted_at = now()
        WHERE g.run = this_run AND g.state = 'pending' AND g.xmin = coalesce(made_by::xid8, pg_current_xact_id())::xid
        RETURNING * INTO entry;
    IF NOT FOUND THEN
        now_is := (SELECT g.state FROM sym.grants g WHERE g.run = this_run);
        IF now_is = 'granted' THEN
            PERFORM sym.refuse('already-granted');
        ELSIF now_is IS DISTINCT FROM 'pending' THEN
            PERFORM sym.refuse('run-ended', '{"why": "overtaken"}');
        ELSIF made_by IS NULL THEN
            PERFORM sym.refuse('transaction-ended');
        END IF;
        RAISE EXCEPTION 'sym: the same event, served at the same moment, has taken the user up'
            USING ERRCODE = 'serialization_failure';
    END IF;
    -- Under `SQL_POLICY=any` a statement may have lent it a role without `admit_user`.
    FOR this_role IN SELECT m.roleid FROM pg_auth_members m
                     WHERE m.member = entry.user_oid AND m.roleid <> sym.role_named('sym_managed') LOOP
        done := sym.check_role(this_role);
    END LOOP;
    -- While others are being removed we may grant what they made, and nobody is to have it.
    FOREACH owner IN ARRAY sym.owners_of_granted(entry.user_oid) LOOP
        IF owner <> entry.user_oid AND (sym.is_heir(owner) OR EXISTS (
            SELECT FROM pg_auth_members m WHERE m.member = owner AND m.roleid = sym.role_named('sym_managed'))) THEN
            PERFORM sym.refuse('setup', jsonb_build_object('why', 'left-behind', 'role', owner::regrole::text));
        END IF;
    END LOOP;
    IF made_by IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %s LOGIN', entry.user_oid::regrole);
        -- By `belongings`, where what an earlier try gave was cleared away.
        IF EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = entry.user_oid AND m.member = current_user::regrole
                   AND m.grantor = current_user::regrole) THEN
            EXECUTE format('REVOKE %s FROM %I', entry.user_oid::regrole, current_user);
        END IF;
    END IF;
    RETURN to_jsonb(entry);
END $$;

-- The user's password, where the secret was there already: that of the secret.
CREATE OR REPLACE FUNCTION sym.set_verifier(this_run text, verifier text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_user oid := (SELECT g.user_oid FROM sym.grants g WHERE g.run = this_run);
BEGIN
    EXECUTE format('ALTER ROLE %s PASSWORD %L', this_user::regrole, verifier);
END $$;

-- Has nobody log in as a user any more. Whoever has a session of it may change its
-- password in a transaction that stays open, and this would wait for that; or in one
-- after the other, and this would come in between (internal_error: "tuple concurrently
-- updated"). Then the user's own sessions are ended, and at last everybody's who keeps
-- our locks. Returns whether it could be done: a prepared transaction can't be ended.
CREATE OR REPLACE FUNCTION sym.bar_user(user_oid oid) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
BEGIN
    FOR attempt IN 1..5 LOOP
        BEGIN
            EXECUTE format('ALTER ROLE %s NOLOGIN PASSWORD NULL VALID UNTIL ''1970-01-01 00:00:00Z''', user_oid::regrole);
            RETURN true;
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR internal_error THEN
            -- Right before the next try, so that it is the first who waits.
            PERFORM sym.end_these_sessions(user_oid, sym.sessions_of(user_oid));
            IF attempt >= 2 THEN
                PERFORM sym.end_lockers(true);
            END IF;
        END;
    END LOOP;
    RETURN false;
END $$;

-- Takes a membership, and returns whether nobody kept us from it. Where another could
-- not be taken already, there is no time to wait long for this one.
CREATE OR REPLACE FUNCTION sym.take_membership(role_oid oid, user_oid oid, grantor_oid oid, has_time boolean) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    done text;
BEGIN
    IF NOT has_time THEN
        done := set_config('lock_timeout', '20ms', true);
    END IF;
    FOR attempt IN 1..CASE WHEN has_time THEN 3 ELSE 1 END LOOP
        BEGIN
            done := sym.revoke_membership(role_oid, user_oid, grantor_oid);
            RETURN true;
        EXCEPTION
            WHEN insufficient_privilege OR dependent_objects_still_exist THEN
                -- Somebody else granted it. Who can't log in has nothing of it,
                -- and it goes with the user.
                RETURN true;
            WHEN lock_not_available OR deadlock_detected OR internal_error THEN
                PERFORM sym.end_lockers(true);
        END;
    END LOOP;
    RETURN false;
END $$;

-- Ends the sessions that keep a lock which only we have a use for: on the ledger's
-- tables, for which LOCK TABLE asks no more than the right to write that
-- pg_write_all_data has everywhere. Where `of_roles`, also those in whose open transaction
-- a role or a membership was changed; and where there is `catalogs_of`, a catalog of that
-- database locked, which pg_maintain may do. Also who waits for such a lock: they would have it
-- before us. Not a superuser's, and none of ours. Returns how many.
CREATE OR REPLACE FUNCTION sym.end_lockers_in(of_roles boolean, catalogs_of oid) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    locker int;
    ended  int := 0;
    -- Since 16 who has made a role is a member of it that may do nothing but grant it.
    act_as text := CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    FOR locker IN
        SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_roles r ON r.oid = a.usesysid
        WHERE l.locktype = 'relation' AND NOT r.rolsuper AND r.rolname <> current_user
          -- Another function's user, or a person's `symctl`.
          AND NOT has_function_privilege(a.usesysid, 'sym.give_back(text, jsonb)', 'EXECUTE')
          AND NOT pg_has_role(a.usesysid, current_user, act_as)
          AND (l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                   AND l.relation IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'sym'::regnamespace)
                   AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
               -- An administrator may have reasons.
               OR NOT EXISTS (SELECT FROM pg_roles x WHERE (x.rolcreaterole OR x.rolsuper)
                                     AND pg_has_role(a.usesysid, x.oid, 'MEMBER'))
                   AND (of_roles AND l.relation IN ('pg_authid'::regclass, 'pg_auth_members'::regclass)
                            AND l.mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                        -- What initdb has made, there or for all databases.
                        OR l.relation < 16384 AND l.database IN (0, catalogs_of) AND catalogs_of IS NOT NULL
                            AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')))
    LOOP
        BEGIN
            ended := ended + pg_terminate_backend(locker)::int;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL; -- The next one may be ended.
        END;
    END LOOP;
    RETURN ended;
END $$;

-- The same in the ledger's database: where `of_roles`, of its catalogs too.
CREATE OR REPLACE FUNCTION sym.end_lockers(of_roles boolean) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN sym.end_lockers_in(of_roles,
        CASE WHEN of_roles THEN (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) END);
END $$;

-- Removal, stage 1: the user can't log in any more and is a member of nothing.
-- The access ends with the COMMIT of this; but where `kept` says why not all of it
-- could be done (`held`, `privileged`, `membership`), it has to be done again.
CREATE OR REPLACE FUNCTION sym.disable_user(this_run text, ended_by text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry      sym.grants;
    membership record;
    owners     text[] := '{}';
    planned    oid[] := '{}';
    kept       text;
    done       text;
BEGIN
    done := sym.name_transaction(this_run);
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM sym.refuse('run-conflict', '{"why": "unknown"}');
    ELSIF entry.strategy <> 'temporary-user' THEN
        PERFORM sym.refuse('run-conflict', jsonb_build_object('strategy', entry.strategy));
    ELSIF entry.state = 'ended' THEN
        RETURN to_jsonb(entry) || '{"has_user": false}';
    END IF;
    IF entry.user_oid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid)
       AND sym.is_user_of(sym.role_named(entry.user_name), this_run) THEN
        -- Restored from a backup: the same user, with another OID.
        UPDATE sym.grants g SET user_oid = sym.role_named(g.user_name) WHERE g.run = this_run RETURNING * INTO entry;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid) THEN
        IF NOT sym.is_user_of(entry.user_oid, this_run) THEN
            PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'not-ours', 'user', entry.user_oid::regrole::text));
        END IF;
        -- What can be taken is taken, also where the rest can't be.
        BEGIN
            IF NOT sym.bar_user(entry.user_oid) THEN
                kept := 'held';
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            kept := 'privileged';
        END;
        FOR membership IN
            SELECT * FROM sym.memberships_of(entry.user_oid) m ORDER BY m.roleid = entry.user_oid
        LOOP
            IF membership.member = entry.user_oid AND sym.owns_something(membership.roleid)
               AND membership.roleid::regrole::text <> ALL (owners) THEN
                owners := owners || membership.roleid::regrole::text;
            END IF;
            planned := planned || sym.databases_of_policies(membership.roleid);
            IF NOT sym.take_membership(membership.roleid, membership.member, membership.grantor, kept IS NULL) THEN
                kept := coalesce(kept, 'membership');
            END IF;
        END LOOP;
        -- Others may have planned what the user made; its own sessions are ended.
        IF (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) = ANY (planned) THEN
            BEGIN
                PERFORM sym.forget_plans();
            EXCEPTION WHEN lock_not_available OR deadlock_detected OR internal_error THEN
                NULL; -- When the user is dropped, they do too.
            END;
        END IF;
    ELSIF entry.user_oid IS NOT NULL AND sym.role_named(entry.user_name) IS NOT NULL
          -- Dropped, and another run has made one of that name.
          AND NOT EXISTS (SELECT FROM sym.grants g WHERE g.user_oid = sym.role_named(entry.user_name) AND g.state <> 'ended'
                          AND g.run <> this_run AND sym.is_user_of(g.user_oid, g.run)) THEN
        PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'other-user', 'user', entry.user_name));
    END IF;
    UPDATE sym.grants g SET state = 'ending', ended_by = disable_user.ended_by WHERE g.run = this_run RETURNING * INTO entry;
    RETURN to_jsonb(entry) || jsonb_build_object('has_user', EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid),
        'user', (SELECT r.oid::regrole::text FROM pg_roles r WHERE r.oid = entry.user_oid), 'owners', owners, 'kept', kept);
END $$;

-- An end failed: the run is overdue from now on, whatever its lease, so each sweep
-- tries again. Never a later expiry.
CREATE OR REPLACE FUNCTION sym.make_overdue(this_run text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE sym.grants g SET expires_at = now()
        WHERE g.run = this_run AND g.state IN ('pending', 'granted') AND g.expires_at > now();
END $$;

-- Ends the sessions of a user that it finds, also those that don't show yet, and returns how
-- many those were; the caller asks again until there are none.
CREATE OR REPLACE FUNCTION sym.end_sessions(user_oid oid) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM sym.await_logins(user_oid);
    RETURN sym.end_these_sessions(user_oid, sym.sessions_of(user_oid));
END $$;

-- What is called as what gets the belongings of a run's user. `sym_graveyard` lets nobody
-- lend it. The same run may begin again, and OIDs too, where a cluster was restored.
CREATE OR REPLACE FUNCTION sym.heir_name(entry sym.grants) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format('sym_graveyard_%s_%s', entry.user_oid, extract(epoch FROM entry.created_at)::bigint);
$$;

-- Whether a role has got the belongings of a user of ours: by its name, and its comment.
CREATE OR REPLACE FUNCTION sym.is_heir(heir oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_roles r JOIN sym.grants g ON g.run = sym.run_in_comment(r.oid)
                   WHERE r.oid = heir AND NOT r.rolcanlogin AND starts_with(r.rolname::text, 'sym_graveyard_'));
END $$;

-- Takes the privileges of an heir, without which the bot may give it nothing, nor revoke what
-- is granted on what it has.
CREATE OR REPLACE FUNCTION sym.join_heir(heir oid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT %s TO %I', heir::regrole, current_user)
        || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;
EXCEPTION WHEN unique_violation THEN
    NULL; -- Up to 15 nothing keeps two from it that do it at once.
END $$;

-- Gives them back, some at a time: the more roles the bot is in, the longer the server takes
-- to find out what it may, and each of these has it find out anew. Others who are being removed
-- may need them, and get them again where they do: so a few are kept meanwhile.
CREATE OR REPLACE FUNCTION sym.leave_heirs() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    few        constant int := 50;
    bot        constant oid := current_user::regrole;
    kept       int := 0;
    membership record;
BEGIN
    IF EXISTS (SELECT FROM sym.grants g WHERE g.state IN ('pending', 'ending') AND g.strategy = 'temporary-user'
               -- Or a setup in another database that is tried again.
               AND (g.state = 'ending' OR g.user_oid IS NOT NULL)) THEN
        kept := few;
    END IF;
    -- The bot's own first, by the index: there may be any number of others.
    FOR membership IN
        WITH mine AS MATERIALIZED (
            SELECT m.roleid, m.member, m.grantor FROM pg_auth_members m WHERE m.member = bot)
        SELECT * FROM mine
        WHERE starts_with(mine.roleid::regrole::text, 'sym_graveyard_')
          -- Since 16 who made a role stays in it, and may do nothing but grant it.
          AND (current_setting('server_version_num')::int < 160000 OR pg_has_role(current_user, mine.grantor, 'USAGE'))
        -- The newest may be in use.
        ORDER BY mine.roleid DESC OFFSET kept LIMIT few
    LOOP
        BEGIN
            PERFORM sym.revoke_membership(membership.roleid, membership.member, membership.grantor);
        EXCEPTION WHEN OTHERS THEN
            RETURN; -- The run has ended all the same.
        END;
    END LOOP;
END $$;

-- What gets the belongings of a run's user: a role that can't log in and has nothing else.
-- Each user has one of its own, as what it left may run with the rights of who owns it: so
-- that reads what this user left, and nobody else's.
CREATE OR REPLACE FUNCTION sym.make_heir(entry sym.grants) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    heir text := sym.heir_name(entry);
    role oid  := sym.role_named(heir);
BEGIN
    -- Who may give others a role gave it one: it gets nothing, and another is made. What it has got
    -- before stays its.
    IF sym.run_in_comment(role) = entry.run AND sym.is_heir(role)
       AND EXISTS (SELECT FROM pg_auth_members m WHERE m.member = role) THEN
        BEGIN
            EXECUTE format('DROP ROLE %I', heir);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            EXECUTE format('ALTER ROLE %I RENAME TO %I', heir, 'sym_graveyard_' || role);
        END;
    END IF;
    IF sym.role_named(heir) IS NULL THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT', heir);
        -- As for the user: another bot must be able to.
        IF current_setting('server_version_num')::int >= 160000 AND sym.role_named('sym_admins') IS NOT NULL THEN
            EXECUTE format('GRANT %I TO sym_admins WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', heir);
        END IF;
        EXECUTE format('COMMENT ON ROLE %I IS %L', heir,
                       jsonb_build_object('sym', 1, 'run', entry.run, 'requester', entry.requester, 'user', entry.user_name));
    ELSIF sym.run_in_comment(sym.role_named(heir)) IS DISTINCT FROM entry.run OR NOT sym.is_heir(sym.role_named(heir)) THEN
        PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'not-ours', 'user', heir));
    END IF;
    PERFORM sym.join_heir(sym.role_named(heir));
    RETURN heir;
END $$;

-- Removal, stage 3, and where a setup in another database is tried again: in which
-- databases something hangs on the user, and who gets what it owns (`heir`, or null).
-- Where something does, the bot takes the user's privileges, without which it
-- may neither reassign nor drop what the user owns.
CREATE OR REPLACE FUNCTION sym.belongings(this_run text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry     sym.grants;
    databases text[];
    heir      text;
    other     oid;
    done      text;
BEGIN
    -- Locked: of two who end a run, one makes the heir.
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run AND g.state IN ('pending', 'ending') FOR UPDATE;
    IF NOT sym.is_user_of(entry.user_oid, this_run) THEN
        RETURN '{"databases": []}';
    END IF;
    -- Databases have OIDs; 0 stands for what all of them share.
    SELECT coalesce(array_agg(DISTINCT coalesce(d.datname::text, current_database()::text)), '{}') INTO databases
        -- Each OID once, before there are names: everybody may make millions of large objects.
        FROM (SELECT DISTINCT s.dbid FROM pg_shdepend s
              WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = entry.user_oid
                -- A membership is gone with the role.
                AND s.classid <> 'pg_auth_members'::regclass) s
        LEFT JOIN pg_database d ON d.oid = s.dbid;
    IF databases <> '{}' THEN
        EXECUTE format('GRANT %s TO %I', entry.user_oid::regrole, current_user)
            || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET FALSE' ELSE '' END;
    END IF;
    IF EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = entry.user_oid
               -- These are nobody else's, and go with the user.
               AND s.deptype = 'o' AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)) THEN
        heir := sym.make_heir(entry);
    ELSIF sym.is_heir(sym.role_named(sym.heir_name(entry))) THEN
        -- It may have something that is closed still.
        heir := sym.make_heir(entry);
    END IF;
    -- What others who have left had granted to it is their heirs' now.
    FOR other IN SELECT o FROM unnest(sym.owners_of_granted(entry.user_oid)) o WHERE sym.is_heir(o) ORDER BY o LOOP
        BEGIN
            done := sym.join_heir(other);
        EXCEPTION WHEN insufficient_privilege OR lock_not_available OR deadlock_detected THEN
            NULL; -- What is granted on what that has stays, and is said at the end.
        END;
    END LOOP;
    RETURN jsonb_build_object('databases', databases, 'heir', heir);
END $$;

-- Removal, stage 5: no role any more. The run has ended when `finish`
-- has looked, which is only worth something after the COMMIT of this.
CREATE OR REPLACE FUNCTION sym.drop_user(this_run text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry    sym.grants;
    heir     oid;
    blockers text;
    done     text;
BEGIN
    done := sym.name_transaction(this_run);
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
    IF entry.state = 'ended' THEN
        RETURN to_jsonb(entry);
    ELSIF entry.state IS DISTINCT FROM 'ending' OR entry.strategy IS DISTINCT FROM 'temporary-user' THEN
        PERFORM sym.refuse('run-conflict', jsonb_build_object('strategy', entry.strategy));
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid) THEN
        IF NOT sym.is_user_of(entry.user_oid, this_run) THEN
            PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'not-ours', 'user', entry.user_oid::regrole::text));
        END IF;
        done := sym.check_no_prepared(entry);
        BEGIN
            EXECUTE format('DROP ROLE %s', entry.user_oid::regrole);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            GET STACKED DIAGNOSTICS blockers = PG_EXCEPTION_DETAIL;
            PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'blocked', 'user', entry.user_name, 'blockers', blockers));
        END;
    END IF;
    heir := sym.role_named(sym.heir_name(entry));
    -- Nothing was left to it after all.
    IF sym.is_heir(heir) AND NOT EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass
                                         AND s.refobjid = heir AND s.classid <> 'pg_auth_members'::regclass) THEN
        BEGIN
            EXECUTE format('DROP ROLE %s', heir::regrole);
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR dependent_objects_still_exist THEN
            NULL; -- Somebody gives it something just now.
        END;
    END IF;
    RETURN to_jsonb(entry);
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

-- Accepts a release of plugins for a function, by its serial: one that is lower
-- than any before is an old release that somebody put back, and another one of
-- the same serial lost the race between two publishers. Returns the highest.
CREATE OR REPLACE FUNCTION sym.accept_release(audience text, serial bigint, release text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    accepted sym.releases;
BEGIN
    SELECT r.* INTO accepted FROM sym.releases r WHERE r.audience = accept_release.audience;
    -- Mostly it is the one in use, and there is nothing to write.
    IF NOT FOUND OR accepted.serial < accept_release.serial THEN
        INSERT INTO sym.releases AS r (audience, serial, release)
            VALUES (accept_release.audience, accept_release.serial, accept_release.release)
            ON CONFLICT ON CONSTRAINT releases_pkey DO UPDATE SET
                serial = excluded.serial, release = excluded.release, accepted_at = now()
            WHERE r.serial < excluded.serial;
        SELECT r.* INTO accepted FROM sym.releases r WHERE r.audience = accept_release.audience;
    END IF;
    IF accepted.serial > accept_release.serial THEN
        PERFORM sym.refuse('release-refused',
            jsonb_build_object('serial', accept_release.serial, 'highest', accepted.serial));
    ELSIF accepted.release <> accept_release.release THEN
        PERFORM sym.refuse('release-refused', jsonb_build_object('why', 'same-serial', 'serial', accept_release.serial));
    END IF;
    RETURN accepted.serial;
END $$;

-- The database's own switch, for pg_cron or a DBA in psql, when nobody else
-- comes: ends what is overdue. A role is given back, and a temporary user can't
-- do anything any more; the sweep removes it when it is back. What can't be
-- ended is reported, and doesn't keep the others.
--
-- Sessions that could keep an access are ended at once, and looked for once more
-- by the next call: before the COMMIT of this one another could begin.
--
-- Before the COMMIT nothing has ended, so no run has the others wait long for a lock.
CREATE OR REPLACE FUNCTION sym.expire() RETURNS TABLE (run text, outcome text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    entry    record;
    disabled jsonb;
    sessions int;
BEGIN
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
    FOR entry IN SELECT o.run, o.strategy, o.state, g.user_oid FROM sym.overdue() o JOIN sym.grants g ON g.run = o.run
                 ORDER BY o.state = 'ending', o.strategy, o.user_name, o.run LOOP
        run := entry.run;
        outcome := NULL;
        BEGIN
            IF entry.strategy = 'temporary-user' THEN
                -- Removing it is the sweep's; nobody is to use it until then.
                IF entry.state <> 'ending' OR sym.is_usable(entry.user_oid, entry.run) THEN
                    disabled := sym.disable_user(entry.run, 'expire');
                    outcome := CASE WHEN disabled ->> 'kept' = 'membership' THEN 'failed: the user has a role still'
                                    WHEN disabled ->> 'kept' IS NOT NULL THEN 'failed: the user can still log in'
                                    WHEN (disabled ->> 'has_user')::boolean THEN 'disabled' ELSE 'user-gone' END;
                END IF;
            ELSIF entry.state = 'ending' THEN
                PERFORM sym.finish(entry.run, false);
                outcome := 'ended';
            ELSE
                outcome := sym.give_back(entry.run, '{"by": "expire"}') ->> 'outcome';
            END IF;
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
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sym FROM PUBLIC;

-- Who was given the functions has those that are new, too.
DO $$ DECLARE holder oid; BEGIN
    FOR holder IN SELECT DISTINCT acl.grantee FROM pg_proc p, aclexplode(p.proacl) acl
                  WHERE p.oid = 'sym.give_back(text, jsonb)'::regprocedure AND acl.grantee NOT IN (0, p.proowner) LOOP
        EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO %s', holder::regrole);
    END LOOP;
END $$;

-- Of pg_cron's sessions, too: in any other isolation what is read behind a lock is as it
-- was before it.
ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'read committed';
