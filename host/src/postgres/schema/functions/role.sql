-- The strategy `role`: lending, and taking back.

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
            IF sym.own_membership(entry.role_oid, entry.user_oid) IS NULL THEN
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
            ended_at = NULL, ended_by = NULL, with_set = excluded.with_set, server_version = excluded.server_version,
            taken_roles = NULL
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
-- the event is there. Changes nothing, and nobody needs its success. By the cluster's first role:
-- of what hangs on that the server keeps no record, so nobody makes it long.
CREATE OR REPLACE FUNCTION sym.get_ready() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    done record;
BEGIN
    done := sym.facts_of(10);
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

-- Refuses to end a run by its OIDs where by its names there is what no other run explains: who was
-- made anew, or all of a cluster that was loaded from a dump, have others, and theirs may be
-- somebody else's by now. `has_both`: whether both OIDs are some role's.
CREATE OR REPLACE FUNCTION sym.check_namesakes(entry sym.grants, has_both boolean) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    named_user oid := sym.role_named(entry.user_name);
    named_role oid := sym.role_named(entry.role_name);
    by_anybody boolean;
    membership record;
BEGIN
    IF named_user = entry.user_oid AND named_role = entry.role_oid THEN
        RETURN;
    END IF;
    -- Who granted it, a dump of a server before 16 need not have kept.
    by_anybody := NOT has_both OR sym.is_of_older_server(entry);
    SELECT m.member, m.roleid INTO membership FROM pg_auth_members m
        WHERE m.member IN (entry.user_oid, named_user) AND m.roleid IN (entry.role_oid, named_role)
          AND NOT (m.member = entry.user_oid AND m.roleid = entry.role_oid)
          AND (by_anybody OR m.grantor = entry.grantor_oid OR pg_has_role(current_user, m.grantor, 'USAGE'))
          -- By another run, it is that one's to take back.
          AND sym.other_runs(entry.run, m.roleid, m.member) = '[]'
        ORDER BY m.member = named_user DESC LIMIT 1;
    IF FOUND THEN
        PERFORM sym.refuse('access-remains', jsonb_build_object(
            'why', CASE WHEN membership.member = entry.user_oid THEN 'other-role' ELSE 'other-user' END,
            'user', membership.member::regrole::text, 'role', membership.roleid::regrole::text));
    END IF;
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

-- Makes a run whose user is there, but no row says so, one to be ended: roles are the
-- cluster's, and so outlive a database that was restored, or made anew, with an older ledger or
-- none. Returns whether it did.
CREATE OR REPLACE FUNCTION sym.take_up_user(this_run text, ending jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    this_user oid := (SELECT o.role_oid FROM sym.users_of_ours() o WHERE o.run = this_run LIMIT 1);
BEGIN
    IF this_user IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO sym.grants AS g (run, strategy, state, requester, target, user_oid, user_name, created_at, expires_at, ended_by)
        SELECT this_run, 'temporary-user', 'ending', ending ->> 'requester', ending ->> 'target', r.oid, r.rolname,
               -- Before all that it may have prepared.
               now() - interval '100 years', now(), ending ->> 'by'
            FROM pg_roles r WHERE r.oid = this_user
        ON CONFLICT (run) DO UPDATE SET
            strategy = excluded.strategy, state = excluded.state, user_oid = excluded.user_oid, user_name = excluded.user_name,
            role_oid = NULL, role_name = NULL, created_at = excluded.created_at, expires_at = excluded.expires_at,
            ended_at = NULL, ended_by = excluded.ended_by
        WHERE g.state = 'ended';
    RETURN FOUND;
END $$;

-- Whether a temporary user's time is over, as a comment says that this function's user has made.
CREATE OR REPLACE FUNCTION sym.is_over(role_oid oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    comment jsonb := sym.comment_of(role_oid);
BEGIN
    RETURN coalesce(comment ->> 'by' = current_user AND (comment ->> 'expires')::timestamptz <= now(), false);
EXCEPTION WHEN data_exception THEN
    RETURN false;
END $$;

-- Users whose time is over, and whom no open run explains, as `overdue` has runs: a hundred at most.
-- Reads all users that we have made.
CREATE OR REPLACE FUNCTION sym.overdue_users() RETURNS TABLE (run text, strategy text, state text, user_name text, role_name text,
                                                              expires_at timestamptz, why text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.run, 'temporary-user', 'granted', r.rolname::text, NULL::text,
           (sym.comment_of(o.role_oid) ->> 'expires')::timestamptz, 'expired'
    FROM sym.unexplained_users() o JOIN pg_roles r ON r.oid = o.role_oid
    WHERE sym.is_over(o.role_oid)
      AND NOT EXISTS (SELECT FROM sym.grants g WHERE g.run = o.run AND g.state <> 'ended')
      -- They may be the other's.
      AND (SELECT sym.other_ledgers()) = '{}'
    -- In another order each time: those that can't be taken up don't keep the others from it.
    ORDER BY random() LIMIT 100;
$$;

-- Takes up those users: nobody's event may come. Returns their runs.
CREATE OR REPLACE FUNCTION sym.take_up_users(taken_by text) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_run text;
    taken_up text[] := '{}';
BEGIN
    FOR this_run IN SELECT o.run FROM sym.overdue_users() o LOOP
        BEGIN
            IF sym.take_up_user(this_run, jsonb_build_object('by', taken_by)) THEN
                taken_up := taken_up || this_run;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL; -- It is unexplained still, and the others are taken.
        END;
    END LOOP;
    RETURN taken_up;
END $$;

-- Ends a run of the strategy `role`, or one that never began. `ending`: by,
-- requester, target, sessions (`keep`, or not), looks (`false`: nobody asks what the end finds),
-- of a run that is not in the ledger `template` (user, role), or `untold`. A run of a temporary user is
-- only named, and made overdue: removing it needs commits in between (`disable_user`, …,
-- `drop_user`).
--
-- Where a session could keep what was taken back, the run is `ending` until
-- `finish` has looked, which is only worth something after the COMMIT
-- of this; and then that one looks for all else, too (`traces_of`).
CREATE OR REPLACE FUNCTION sym.give_back(this_run text, ending jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry     sym.grants;
    has_user  boolean;
    has_role  boolean;
    grantor   oid;
    others    jsonb := '[]';
    paths     jsonb := '[]';
    outcome   text;
    keeps     boolean;
    had_set   boolean := false;
    owners    text[] := '{}';
    gained    int := 0;
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
            other_ledger := (sym.other_ledgers())[1];
            CONTINUE WHEN other_ledger IS NULL AND sym.take_up_user(this_run, ending);
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
            IF other_ledger IS NOT NULL THEN
                PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'other-ledger', 'database', other_ledger));
            END IF;
            RETURN to_jsonb(entry) || jsonb_build_object('outcome', 'never-began',
                -- Of the template's what somebody else granted since, or an upgrade made somebody else's.
                'remaining', sym.remaining_paths(sym.role_named(ending #>> '{template,role}'), sym.role_named(ending #>> '{template,user}')));
        END IF;
        IF entry.state = 'ended' THEN
            CONTINUE WHEN sym.take_up_user(this_run, ending);
            -- The same event again, or a lost answer: what there is of the access today.
            others := sym.other_runs(this_run, entry.role_oid, entry.user_oid);
            RETURN to_jsonb(entry) || jsonb_build_object('outcome', CASE WHEN others <> '[]' THEN 'shared' ELSE 'already-ended' END,
                'others', others, 'remaining', sym.remaining_paths(
                    coalesce(entry.role_oid, sym.role_named(ending #>> '{template,role}')),
                    coalesce(entry.user_oid, sym.role_named(ending #>> '{template,user}'))),
                'owners', (sym.traces_of(entry)).owners);
        END IF;
        IF entry.strategy = 'temporary-user' THEN
            -- Overdue from now on: where the host dies before it has ended it, the next sweep does. Who
            -- holds the row is waited for by `disable_user`, and so is the disk.
            done := set_config('synchronous_commit', 'off', true);
            UPDATE sym.grants g SET expires_at = now()
                WHERE g.run = (SELECT o.run FROM sym.grants o WHERE o.run = this_run AND o.state IN ('pending', 'granted')
                                   AND o.expires_at > now() FOR UPDATE SKIP LOCKED);
            RETURN to_jsonb(entry) || '{"outcome": "temporary-user"}';
        END IF;
        done := sym.lock_user(entry.user_oid);
        SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
        CONTINUE WHEN entry.state = 'ended';
        EXIT;
    END LOOP;

    has_user := EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid);
    has_role := EXISTS (SELECT FROM pg_roles WHERE oid = entry.role_oid);
    IF has_user AND has_role THEN
        others := sym.other_runs(this_run, entry.role_oid, entry.user_oid);
    END IF;
    IF entry.state = 'granted' AND NOT entry.standing THEN
        IF others = '[]' THEN
            -- After a dump was loaded elsewhere, who has granted has another OID, too.
            grantor := CASE WHEN sym.is_granted_by(entry.role_oid, entry.user_oid, entry.grantor_oid) THEN entry.grantor_oid
                            WHEN sym.is_granted_by(entry.role_oid, entry.user_oid, sym.role_named(current_user))
                                THEN sym.role_named(current_user) END;
        END IF;
        -- Also where there is something to take: it may be that of another run, whose row has other OIDs.
        done := sym.check_namesakes(entry, has_user AND has_role);
        IF grantor IS NOT NULL THEN
            had_set := sym.is_with_set(entry.role_oid, entry.user_oid, grantor);
            BEGIN
                done := sym.revoke_membership(entry.role_oid, entry.user_oid, grantor);
            EXCEPTION WHEN insufficient_privilege THEN
                NULL;
            END;
            -- Up to 15 a REVOKE of what another granted only warns: look.
            IF sym.is_granted_by(entry.role_oid, entry.user_oid, grantor) THEN
                PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'not-revoked', 'user', entry.user_oid::regrole::text,
                    'role', entry.role_oid::regrole::text));
            END IF;
        END IF;
    END IF;
    IF has_user AND has_role THEN
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
    IF NOT keeps AND ending ->> 'looks' IS DISTINCT FROM 'false' THEN
        SELECT t.owners, t.gained INTO owners, gained FROM sym.traces_of(entry) t;
    END IF;
    UPDATE sym.grants g SET state = CASE WHEN keeps THEN 'ending' ELSE 'ended' END,
                            ended_at = CASE WHEN keeps THEN NULL ELSE now() END, ended_by = ending ->> 'by',
                            -- Also where it was said before; and by a view that REASSIGN OWNED has made
                            -- the role's a session keeps what the role may.
                            with_set = had_set OR owners <> '{}' OR g.with_set
        WHERE g.run = this_run RETURNING * INTO entry;
    IF others <> '[]' THEN
        done := sym.hand_on_set(entry);
    END IF;
    RETURN to_jsonb(entry) || jsonb_build_object('outcome', outcome,
        'others', others, 'remaining', paths, 'owners', owners, 'gained', gained);
END $$;
