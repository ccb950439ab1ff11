-- The strategy `temporary-user`: its removal, stage by stage.

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

-- Why `bar_user` lacks the right to do it: the user is `privileged`, as somebody has made it; or
-- the bot has `no-createrole`, or, since 16, `no-admin` on the user. A user that was made on a
-- server before 16 has nobody with ADMIN on it after an upgrade.
CREATE OR REPLACE FUNCTION sym.why_not_barred(user_oid oid) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    is_since_16 constant boolean := current_setting('server_version_num')::int >= 160000;
BEGIN
    RETURN (SELECT CASE WHEN r.rolsuper OR r.rolreplication AND NOT is_since_16 THEN 'privileged'
                        WHEN NOT bot.rolcreaterole THEN 'no-createrole'
                        WHEN is_since_16 AND NOT pg_has_role(bot.oid, r.oid, 'MEMBER WITH ADMIN OPTION') THEN 'no-admin'
                        ELSE 'privileged' END
        FROM pg_roles r, pg_roles bot WHERE r.oid = user_oid AND bot.rolname = current_user);
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
-- could be done (`held`, `membership`, or as `why_not_barred` says), it has to be done again. Looks for
-- nothing behind that, which others could make long: `prepare_clearing` does.
CREATE OR REPLACE FUNCTION sym.disable_user(this_run text, ended_by text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry      sym.grants;
    membership record;
    taken      oid[] := '{}';
    is_there   boolean;
    is_others  boolean := false;
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
    is_there := sym.is_user_of(entry.user_oid, this_run);
    IF NOT is_there AND sym.is_user_of(sym.role_named(entry.user_name), this_run) THEN
        -- Restored from a backup: the same user, with another OID, and its own may be somebody else's
        -- by now; or an older row, from before there was one. While it is locked nobody makes it.
        UPDATE sym.grants g SET user_oid = sym.role_named(g.user_name) WHERE g.run = this_run RETURNING * INTO entry;
        is_there := true;
    END IF;
    IF is_there THEN
        -- What can be taken is taken, also where the rest can't be.
        BEGIN
            IF NOT sym.bar_user(entry.user_oid) THEN
                kept := 'held';
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            kept := sym.why_not_barred(entry.user_oid);
        END;
        FOR membership IN
            SELECT * FROM sym.memberships_of(entry.user_oid) m ORDER BY m.roleid = entry.user_oid
        LOOP
            IF membership.member = entry.user_oid THEN
                taken := taken || membership.roleid;
            END IF;
            IF NOT sym.take_membership(membership.roleid, membership.member, membership.grantor, kept IS NULL) THEN
                kept := coalesce(kept, 'membership');
            END IF;
        END LOOP;
    ELSIF EXISTS (SELECT FROM pg_roles WHERE oid = entry.user_oid) THEN
        -- That of another run is none of this one's: it is gone. Of anybody else we can't tell, as
        -- somebody may have taken the mark from ours.
        is_others := EXISTS (SELECT FROM sym.grants g WHERE g.run = sym.run_in_comment(entry.user_oid) AND g.state <> 'ended'
                             AND g.run <> this_run AND sym.is_user_of(entry.user_oid, g.run));
        IF NOT is_others THEN
            PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'not-ours', 'user', entry.user_oid::regrole::text));
        END IF;
    END IF;
    IF NOT is_there AND entry.user_oid IS NOT NULL AND sym.role_named(entry.user_name) IS NOT NULL
          -- Dropped, and another run has made one of that name.
          AND NOT EXISTS (SELECT FROM sym.grants g WHERE g.user_oid = sym.role_named(entry.user_name) AND g.state <> 'ended'
                          AND g.run <> this_run AND sym.is_user_of(g.user_oid, g.run)) THEN
        PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'other-user', 'user', entry.user_name));
    END IF;
    -- Those that an earlier try took, too.
    UPDATE sym.grants g SET state = 'ending', ended_by = disable_user.ended_by,
                            user_oid = CASE WHEN NOT is_others THEN g.user_oid END,
                            taken_roles = ARRAY(SELECT DISTINCT role FROM unnest(g.taken_roles || taken) role)
        WHERE g.run = this_run RETURNING * INTO entry;
    RETURN to_jsonb(entry) || jsonb_build_object('has_user', is_there,
        'user', (SELECT r.oid::regrole::text FROM pg_roles r WHERE r.oid = entry.user_oid), 'kept', kept);
END $$;

-- What is called as what gets the belongings of a run's user. `sym_graveyard` lets nobody
-- lend it. The same run may begin again, and OIDs too, where a cluster was restored.
CREATE OR REPLACE FUNCTION sym.heir_name(entry sym.grants) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format('sym_graveyard_%s_%s', entry.user_oid, extract(epoch FROM entry.created_at)::bigint);
$$;

-- Whether a role has got the belongings of a user of ours: by its name, and its comment, as it
-- outlives the ledger. Who could make one that only looks so has CREATEROLE, and may do worse.
CREATE OR REPLACE FUNCTION sym.is_heir(heir oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    comment jsonb := sym.comment_of(heir);
BEGIN
    RETURN coalesce(comment ->> 'run' IS NOT NULL AND NOT comment ? 'expires', false)
       AND EXISTS (SELECT FROM pg_roles r
                   WHERE r.oid = heir AND NOT r.rolcanlogin AND starts_with(r.rolname::text, 'sym_graveyard_'));
END $$;

-- The heir of a run's user, or NULL where none was made for it.
CREATE OR REPLACE FUNCTION sym.heir_of(entry sym.grants) RETURNS oid
LANGUAGE plpgsql STABLE AS $$
DECLARE
    heir oid := sym.role_named(sym.heir_name(entry));
BEGIN
    RETURN CASE WHEN sym.run_in_comment(heir) = entry.run AND sym.is_heir(heir) THEN heir END;
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
    bot        constant oid := sym.role_named(current_user);
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
        -- As it is called: what `regrole` says may have quotes.
        WHERE starts_with((SELECT r.rolname FROM pg_roles r WHERE r.oid = mine.roleid)::text, 'sym_graveyard_')
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
    role oid  := sym.heir_of(entry);
BEGIN
    -- Who may give others a role gave it one: it gets nothing, and another is made. What it has got
    -- before stays its.
    IF EXISTS (SELECT FROM pg_auth_members m WHERE m.member = role) THEN
        BEGIN
            EXECUTE format('DROP ROLE %I', heir);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            EXECUTE format('ALTER ROLE %I RENAME TO %I', heir, 'sym_graveyard_' || role);
        END;
    END IF;
    IF sym.role_named(heir) IS NULL THEN
        PERFORM sym.keep_no_new_role();
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT', heir);
        -- As for the user: another bot must be able to.
        IF current_setting('server_version_num')::int >= 160000 AND sym.role_named('sym_admins') IS NOT NULL THEN
            EXECUTE format('GRANT %I TO sym_admins WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', heir);
        END IF;
        EXECUTE format('COMMENT ON ROLE %I IS %L', heir,
                       jsonb_build_object('sym', 1, 'run', entry.run, 'requester', entry.requester, 'user', entry.user_name));
    ELSIF sym.heir_of(entry) IS NULL THEN
        PERFORM sym.refuse('access-remains', jsonb_build_object('why', 'not-ours', 'user', heir));
    END IF;
    PERFORM sym.join_heir(sym.role_named(heir));
    RETURN heir;
END $$;

-- Removal, stage 3, and where a setup in another database is tried again. Returns in which
-- databases something hangs on the user, and who gets what it owns (`heir`, or null), which is
-- made here. Where something does, the bot takes the user's privileges, without which it
-- may neither reassign nor drop what the user owns. Where there was no time to look for it
-- (`is_cut`), it may be anything, anywhere. `owners` are the names of the roles that were taken, and
-- of those above them, that own something now.
CREATE OR REPLACE FUNCTION sym.prepare_clearing(this_run text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry     sym.grants;
    oids      oid[];
    databases text[];
    is_owner  boolean;
    is_all    boolean;
    is_cut    boolean := false;
    heir      text;
    others    oid[] := '{}';
    other     oid;
    owners    text[] := '{}';
    planned   oid[] := '{}';
    done      text;
BEGIN
    -- Locked: of two who end a run, one makes the heir.
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run AND g.state IN ('pending', 'ending') FOR UPDATE;
    IF NOT sym.is_user_of(entry.user_oid, this_run) THEN
        RETURN '{"databases": []}';
    END IF;
    BEGIN
        -- Everybody may grant it any number of large objects and columns: where there are a million, it
        -- may be every database, and anything.
        SELECT array_agg(s.dbid), coalesce(bool_or(s.is_owner), false), coalesce(sum(s.found), 0) < 1000000
            INTO oids, is_owner, is_all
            FROM (SELECT s.dbid, count(*) AS found,
                         -- These are nobody else's, and go with the user.
                         bool_or(s.deptype = 'o' AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)) AS is_owner
                  FROM (SELECT s.dbid, s.classid, s.deptype FROM pg_shdepend s
                        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = entry.user_oid
                          -- A membership is gone with the role.
                          AND s.classid <> 'pg_auth_members'::regclass LIMIT 1000000) s
                  GROUP BY s.dbid) s;
        others := sym.owners_of_granted(entry.user_oid, 100000);
    EXCEPTION WHEN query_canceled THEN
        -- See `traces_of`.
        is_cut := true;
        is_owner := coalesce(is_owner, false);
        is_all := coalesce(is_all, false);
    END;
    IF entry.state = 'ending' THEN
        SELECT t.owners, t.planned INTO owners, planned FROM sym.traces_of(entry) t;
    END IF;
    -- Databases have OIDs; 0 stands for what all of them share.
    databases := ARRAY(SELECT d.datname::text FROM pg_database d
                       WHERE d.oid = ANY (oids) OR NOT is_all AND d.datallowconn
                          OR 0 = ANY (oids) AND d.datname = current_database()
                       -- First where something was seen.
                       ORDER BY (d.oid = ANY (oids)) IS NOT TRUE, d.datname);
    IF databases <> '{}' THEN
        EXECUTE format('GRANT %s TO %I', entry.user_oid::regrole, current_user)
            || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;
    END IF;
    IF is_owner OR NOT is_all THEN
        heir := sym.make_heir(entry);
    ELSIF sym.heir_of(entry) IS NOT NULL THEN
        -- It may have something that is closed still.
        heir := sym.make_heir(entry);
    END IF;
    -- What others who have left had granted to it is their heirs' now.
    FOR other IN SELECT o FROM unnest(others) o WHERE sym.is_heir(o) ORDER BY o LOOP
        BEGIN
            done := sym.join_heir(other);
        EXCEPTION WHEN insufficient_privilege OR lock_not_available OR deadlock_detected THEN
            NULL; -- What is granted on what that has stays, and is said at the end.
        END;
    END LOOP;
    -- Others may have planned what the user made; its own sessions are ended. At the last, as it
    -- keeps other ends waiting.
    IF (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) = ANY (planned) THEN
        BEGIN
            PERFORM sym.forget_plans();
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR internal_error THEN
            NULL; -- When the user is dropped, they do too.
        END;
    END IF;
    RETURN jsonb_build_object('databases', databases, 'heir', heir, 'is_cut', is_cut, 'owners', owners);
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
    heir := sym.heir_of(entry);
    -- Nothing was left to it after all.
    IF heir IS NOT NULL THEN
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass
                           AND s.refobjid = heir AND s.classid <> 'pg_auth_members'::regclass) THEN
                EXECUTE format('DROP ROLE %s', heir::regrole);
            END IF;
        EXCEPTION WHEN query_canceled OR lock_not_available OR deadlock_detected OR dependent_objects_still_exist THEN
            NULL; -- Somebody gives it something just now, or has made the look for that long.
        END;
    END IF;
    RETURN to_jsonb(entry);
END $$;

-- The name of the secret of a temporary user's run that has ended, which is held until the end of
-- the transaction: until then nobody begins it again. What made the secret may have been carried
-- out after the end. NULL where there is none to delete, or it is another run's.
CREATE OR REPLACE FUNCTION sym.hold_ended(this_run text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry sym.grants;
BEGIN
    SELECT * INTO entry FROM sym.grants g WHERE g.run = this_run FOR UPDATE;
    -- By itself, behind the lock: so it sees who has begun meanwhile, be it this very run.
    RETURN CASE WHEN NOT EXISTS (SELECT FROM sym.grants g WHERE g.secret = entry.secret AND g.state <> 'ended') THEN entry.secret END;
END $$;
