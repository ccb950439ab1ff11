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

-- Names the transaction after its run, for pg_stat_activity and the server's log.
CREATE OR REPLACE FUNCTION sym.name_transaction(run text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    done text;
BEGIN
    done := set_config('application_name', 'sym-postgres ' || reverse(split_part(reverse(run), ':', 1)), true);
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

-- The role of this name, or NULL.
CREATE OR REPLACE FUNCTION sym.role_named(name text) RETURNS oid
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- A longer one would be shortened to somebody else's; an empty one is an error.
    RETURN CASE WHEN octet_length(name) BETWEEN 1 AND 63 THEN to_regrole(quote_ident(name))::oid END;
END $$;

-- The comment on a role, where it is JSON, as on those that we made.
CREATE OR REPLACE FUNCTION sym.comment_of(role_oid oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- Not by shobj_description, which is planned anew in each transaction.
    RETURN (SELECT d.description FROM pg_shdescription d WHERE d.objoid = role_oid AND d.classoid = 'pg_authid'::regclass)::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;

-- The run that a role was made for, as its comment says.
CREATE OR REPLACE FUNCTION sym.run_in_comment(role_oid oid) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN sym.comment_of(role_oid) ->> 'run';
END $$;

-- Whether a role is a temporary user of a server before 16. What marks it there is its comment
-- alone, which nobody sets who has no CREATEROLE, and that may do worse: a member of `sym_managed`
-- could be that by SET ROLE, and make things its. An heir's comment has no `expires`.
CREATE OR REPLACE FUNCTION sym.is_marked_before_16(role_oid oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    comment jsonb;
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        RETURN false;
    END IF;
    comment := sym.comment_of(role_oid);
    RETURN coalesce(comment ->> 'run' IS NOT NULL AND comment ? 'expires', false);
END $$;

-- Whether a role is a temporary user, of whatever run. Who has ADMIN on the mark is who marks, or has
-- made it: since 16 that is the administrator who has run the setup.
CREATE OR REPLACE FUNCTION sym.is_temporary_user(role_oid oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN sym.is_marked_before_16(role_oid) OR EXISTS (
        SELECT FROM pg_auth_members m JOIN pg_roles marker ON marker.oid = m.roleid
        WHERE m.member = role_oid AND NOT m.admin_option AND marker.rolname = 'sym_managed');
END $$;

-- For this transaction: who makes a role gets nothing of it but the ADMIN option. Since 16 a server's
-- setting may give them its privileges too, and with those of a temporary user what that is lent.
CREATE OR REPLACE FUNCTION sym.keep_no_new_role() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    done text;
BEGIN
    IF current_setting('createrole_self_grant', true) <> '' THEN
        done := set_config('createrole_self_grant', '', true);
    END IF;
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
