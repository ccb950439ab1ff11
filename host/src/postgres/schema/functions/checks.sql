-- What may be lent, and to whom.

-- What is to know of a role before it is lent, or is lent something: by the
-- indexes, so the number of roles on the server doesn't matter. `roles` are those
-- that it is a member of, `gives_roles` says that it may make others members of one,
-- `is_ours` that it is the bot or a user that we made. `is_owner` is NULL where nobody can tell:
-- everybody may grant a role any number of large objects and columns, so no more than a million
-- of what hangs on it are looked through.
CREATE OR REPLACE FUNCTION sym.facts_of(role_oid oid, OUT name text, OUT can_login boolean, OUT is_privileged boolean,
                                        OUT makes_databases boolean, OUT is_ours boolean, OUT is_owner boolean,
                                        OUT gives_roles boolean, OUT roles oid[])
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- Not all columns: without `rolconfig` one table less is read.
    SELECT r.rolname, r.rolcanlogin, r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls, r.rolcreatedb,
           (SELECT CASE WHEN bool_or(d.deptype = 'o'
                             -- Who has the role can make these without CREATE anywhere, and nothing runs by them.
                             AND d.classid NOT IN ('pg_default_acl'::regclass, 'pg_largeobject'::regclass)) THEN true
                        WHEN count(*) < 1000000 THEN false END
            FROM (SELECT d.classid, d.deptype FROM pg_shdepend d
                  WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = role_oid LIMIT 1000000) d),
           coalesce(m.gives, false), coalesce(m.roles, '{}')
        INTO name, can_login, is_privileged, makes_databases, is_owner, gives_roles, roles
        FROM pg_roles r,
             (SELECT array_agg(m.roleid) AS roles, bool_or(m.admin_option) AS gives
              FROM pg_auth_members m WHERE m.member = role_oid) m
        WHERE r.oid = role_oid;
    is_ours := name = current_user OR coalesce(to_regrole('sym_managed') = ANY (roles), false) OR sym.is_marked_before_16(role_oid);
END $$;

-- These roles, and those that one of them is a member of, through others too.
CREATE OR REPLACE FUNCTION sym.with_those_above(roles oid[]) RETURNS oid[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    reached oid[] := coalesce(roles, '{}');
    above   oid[] := reached;
BEGIN
    -- Twice the index: a recursive query takes ten times as long.
    LOOP
        above := ARRAY(SELECT DISTINCT m.roleid FROM pg_auth_members m WHERE m.member = ANY (above) AND m.roleid <> ALL (reached));
        EXIT WHEN above = '{}';
        reached := reached || above;
    END LOOP;
    RETURN reached;
END $$;

-- The names of those of roles that were lent, and of those above them, that own something, or of
-- which nobody can tell: they owned nothing then (`check_role`). Who holds one can make things
-- theirs, up to 15 by SET ROLE, since 16 by REASSIGN OWNED: a SECURITY DEFINER function does what
-- its owner may for as long as it is there.
CREATE OR REPLACE FUNCTION sym.owners_among(roles oid[]) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ARRAY(SELECT facts.name FROM unnest(sym.with_those_above(roles)) role, sym.facts_of(role) facts
                 WHERE facts.name IS NOT NULL AND facts.is_owner IS NOT FALSE ORDER BY facts.name);
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
                        WHEN facts.is_owner IS NULL THEN 'crowded'
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

-- The same for who asks ahead, whoever calls: as the ledger's owner, who lends.
CREATE OR REPLACE FUNCTION sym.check_lendable(role text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM sym.check_role(sym.role_named(role));
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

-- The other databases of the cluster in which this function's user, or the ledger's owner, has
-- a schema with functions: the ledger is the only one that they make. What hangs on a user is
-- known everywhere. Who may act as the owner, as an administrator, is no function's user.
CREATE OR REPLACE FUNCTION sym.other_ledgers() RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- By the owners of what each database has of these kinds, and not by what hangs on the user:
    -- everybody may grant it any number of large objects.
    RETURN ARRAY(SELECT DISTINCT d.datname::text FROM pg_database d, pg_roles r
        WHERE d.datname <> current_database()
          AND (r.rolname = current_user OR r.rolname = session_user AND NOT pg_has_role(r.oid, current_user, 'MEMBER'))
          AND r.oid = ANY (ARRAY(SELECT s.refobjid FROM pg_shdepend s
                  WHERE s.dbid = d.oid AND s.classid = 'pg_namespace'::regclass AND s.deptype = 'o'))
          AND r.oid = ANY (ARRAY(SELECT s.refobjid FROM pg_shdepend s
                  WHERE s.dbid = d.oid AND s.classid = 'pg_proc'::regclass AND s.deptype = 'o'))
        ORDER BY 1);
END $$;

-- Whether this run was one of ours: the ledger has a row of it, in whatever state, or its user is
-- there, which outlives a ledger.
CREATE OR REPLACE FUNCTION sym.knows_run(this_run text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM sym.grants g WHERE g.run = this_run)
        OR EXISTS (SELECT FROM sym.users_of_ours() o WHERE o.run = this_run);
END $$;

-- The temporary users that this function's user has made, of whatever run, and not those of
-- another's on the same server. Reads all that there are.
CREATE OR REPLACE FUNCTION sym.users_of_ours() RETURNS TABLE (role_oid oid, run text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
        SELECT m.member, sym.run_in_comment(m.member)
            FROM pg_auth_members m JOIN pg_roles bot ON bot.oid = m.grantor
            WHERE m.roleid = sym.role_named('sym_managed') AND bot.rolname = current_user
        UNION
        SELECT d.objoid, sym.run_in_comment(d.objoid)
            FROM pg_shdescription d
            WHERE d.classoid = 'pg_authid'::regclass AND sym.is_marked_before_16(d.objoid)
              AND sym.comment_of(d.objoid) ->> 'by' = current_user;
END $$;

-- Those of them that no open run explains. A row of the same run may be an older one, of another
-- user of that name.
CREATE OR REPLACE FUNCTION sym.unexplained_users() RETURNS TABLE (role_oid oid, run text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT o.role_oid, o.run FROM sym.users_of_ours() o
        WHERE o.run IS NOT NULL
          AND NOT EXISTS (SELECT FROM sym.grants g WHERE g.run = o.run AND g.user_oid = o.role_oid AND g.state <> 'ended'
                          AND g.strategy = 'temporary-user');
END $$;

-- What this function's user has given and no open run explains, as where the ledger is older
-- than the roles: `users` (user, run), and `memberships` (user, role, and the `revoke` of it), no
-- more than a hundred of each. A run that found a membership there doesn't explain it.
--
-- Reads all memberships: for the sweep and for people, not for events.
CREATE OR REPLACE FUNCTION sym.unexplained() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bot    constant oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
    by_bot constant text := CASE WHEN current_setting('server_version_num')::int >= 160000
                                 THEN format(' GRANTED BY %s', bot::regrole) ELSE '' END;
BEGIN
    RETURN jsonb_build_object(
        'users', (SELECT coalesce(jsonb_agg(to_jsonb(u) ORDER BY u."user"), '[]') FROM (
            SELECT o.role_oid::regrole::text AS "user", o.run FROM sym.unexplained_users() o LIMIT 100) u),
        'memberships', (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p."user", p.role), '[]') FROM (
            SELECT m.member::regrole::text AS "user", m.roleid::regrole::text AS role,
                   format('REVOKE %s FROM %s%s;', m.roleid::regrole, m.member::regrole, by_bot) AS revoke
                FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
                WHERE m.grantor = bot AND m.member <> bot AND NOT starts_with(r.rolname::text, 'sym_')
                  AND NOT EXISTS (SELECT FROM sym.grants g WHERE g.user_oid = m.member AND g.role_oid = m.roleid
                                  AND g.state = 'granted' AND NOT g.standing)
                  -- A user of ours, which goes with its run; and who may remove it.
                  AND NOT sym.is_temporary_user(m.member) AND NOT sym.is_temporary_user(m.roleid) LIMIT 100) p));
END $$;
