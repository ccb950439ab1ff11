-- The strategy `temporary-user`: its user, from the first row of the ledger to the last look.

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
        -- The end of either would delete the other's. Its name has no more of the run than the id.
        IF EXISTS (SELECT FROM sym.grants g WHERE g.secret = request ->> 'secret' AND g.state <> 'ended' AND g.run <> this_run) THEN
            PERFORM sym.refuse('run-conflict', '{"why": "secret"}');
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
                server_version = excluded.server_version, taken_roles = NULL
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

-- Whether a role is the temporary user of this run: the marker role and the
-- comment say so, which nobody sets but us and who may do worse. Where the run was begun
-- on a server before 16, the comment alone: see `is_marked_before_16`.
CREATE OR REPLACE FUNCTION sym.is_user_of(user_oid oid, this_run text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    comment jsonb := sym.comment_of(user_oid);
BEGIN
    -- Without a comment it is NULL, and NOT NULL is not true.
    RETURN coalesce(comment ->> 'run' = this_run, false)
       AND (EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles marker ON marker.oid = m.roleid
                    WHERE m.member = user_oid AND marker.rolname = 'sym_managed')
            OR comment ? 'expires'
               AND EXISTS (SELECT FROM sym.grants g WHERE g.run = this_run AND coalesce(g.server_version < 160000, true)));
END $$;

-- The memberships to take of a temporary user, by the indexes however many there are of
-- others: neither OR nor a join, for which a plan may read all memberships, or all roles. In
-- LANGUAGE sql it becomes part of the statement that asks.
CREATE OR REPLACE FUNCTION sym.memberships_of(user_oid oid) RETURNS TABLE (roleid oid, member oid, grantor oid)
LANGUAGE sql STABLE AS $$
    SELECT m.roleid, m.member, m.grantor FROM pg_auth_members m
        WHERE m.member = user_oid
          -- Up to 15 it marks nobody, and older versions of ours granted it.
          AND ((SELECT r.rolname FROM pg_roles r WHERE r.oid = m.roleid) <> 'sym_managed'
               OR current_setting('server_version_num')::int < 160000)
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

-- Who owns what is granted to a user, in all databases, of so many things at `most`, or of all
-- (NULL): anybody may have granted any number of them to who is there for a while. Each once.
CREATE OR REPLACE FUNCTION sym.owners_of_granted(user_oid oid, most int) RETURNS oid[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(SELECT DISTINCT owner.refobjid
        FROM (SELECT s.dbid, s.classid, s.objid FROM pg_shdepend s
              WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = user_oid AND s.deptype = 'a' LIMIT most) s,
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
    -- Before that a member of the marker role could be it: see `is_marked_before_16`.
    is_since_16 constant boolean := current_setting('server_version_num')::int >= 160000;
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
        IF is_since_16 AND sym.role_named('sym_managed') IS NULL THEN
            PERFORM sym.refuse('setup', '{"why": "no-marker"}');
        END IF;
        done := sym.keep_no_new_role();
        BEGIN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT ', entry.user_name) || options;
        EXCEPTION WHEN insufficient_privilege THEN
            PERFORM sym.refuse('setup', '{"why": "no-createrole"}');
        END;
        this_user := sym.role_named(entry.user_name);
        IF is_since_16 THEN
            done := sym.grant_membership(sym.role_named('sym_managed'), this_user, false);
        END IF;
        -- Since 16 only who made a role, or was given ADMIN on it, can drop it:
        -- another bot must be able to, and this one must not be dropped while
        -- its users live.
        IF is_since_16 AND sym.role_named('sym_admins') IS NOT NULL THEN
            EXECUTE format('GRANT %I TO sym_admins WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', entry.user_name);
        END IF;
        EXECUTE format('COMMENT ON ROLE %I IS %L', entry.user_name,
                       jsonb_build_object('sym', 1, 'run', this_run, 'requester', entry.requester, 'expires', entry.expires_at,
                                          'by', current_user));
    ELSIF sym.is_user_of(this_user, this_run) THEN
        EXECUTE format('ALTER ROLE %I ', entry.user_name) || options;
        -- What the earlier try gave may be more than this one asks for.
        FOR membership IN SELECT m.roleid, m.grantor FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
                          WHERE m.member = this_user AND NOT (is_since_16 AND r.rolname = 'sym_managed') LOOP
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

-- Refuses to go on with a run that isn't the caller's any more: `now_is` is its state.
CREATE OR REPLACE FUNCTION sym.refuse_overtaken(now_is text, made_by text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF now_is = 'granted' THEN
        PERFORM sym.refuse('already-granted');
    ELSIF now_is IS DISTINCT FROM 'pending' THEN
        PERFORM sym.refuse('run-ended', '{"why": "overtaken"}');
    ELSIF made_by IS NULL THEN
        PERFORM sym.refuse('transaction-ended');
    END IF;
    RAISE EXCEPTION 'sym: the same event, served at the same moment, has taken the user up'
        USING ERRCODE = 'serialization_failure';
END $$;

-- Makes the run's user a member of a role. `made_by` is as in `confirm_user`.
CREATE OR REPLACE FUNCTION sym.admit_user(this_run text, role text, made_by text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_user oid;
    this_role oid := sym.role_named(role);
    done      text;
BEGIN
    -- Locked, so that nobody ends the run, or takes the user up, before this is committed.
    SELECT g.user_oid INTO this_user FROM sym.grants g
        WHERE g.run = this_run AND g.state = 'pending' AND g.xmin = coalesce(made_by::xid8, pg_current_xact_id())::xid FOR UPDATE;
    IF NOT FOUND THEN
        done := sym.refuse_overtaken((SELECT g.state FROM sym.grants g WHERE g.run = this_run), made_by);
    END IF;
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
    done      text;
BEGIN
    done := sym.name_transaction(this_run);
    -- `create_user` has written the row. Were it not by this transaction, a setup
    -- statement would have ended the one that we began.
    UPDATE sym.grants g SET state = 'granted', granted_at = now()
        WHERE g.run = this_run AND g.state = 'pending' AND g.xmin = coalesce(made_by::xid8, pg_current_xact_id())::xid
        RETURNING * INTO entry;
    IF NOT FOUND THEN
        done := sym.refuse_overtaken((SELECT g.state FROM sym.grants g WHERE g.run = this_run), made_by);
    END IF;
    -- Under `SQL_POLICY=any` a statement may have lent it a role without `admit_user`.
    FOR this_role IN SELECT m.roleid FROM pg_auth_members m
                     WHERE m.member = entry.user_oid
                       AND (m.roleid IS DISTINCT FROM sym.role_named('sym_managed')
                            OR current_setting('server_version_num')::int < 160000) LOOP
        done := sym.check_role(this_role);
    END LOOP;
    -- While others are being removed we may grant what they made, and nobody is to have it.
    FOREACH owner IN ARRAY sym.owners_of_granted(entry.user_oid, NULL) LOOP
        IF owner <> entry.user_oid AND (sym.is_heir(owner) OR sym.is_temporary_user(owner)) THEN
            PERFORM sym.refuse('setup', jsonb_build_object('why', 'left-behind', 'role', owner::regrole::text));
        END IF;
    END LOOP;
    IF made_by IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %s LOGIN', entry.user_oid::regrole);
        -- By `prepare_clearing`, where what an earlier try gave was cleared away.
        IF EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = entry.user_oid AND m.member = sym.role_named(current_user)
                   AND m.grantor = sym.role_named(current_user)) THEN
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
