-- What Sym's role template has lent, for as long as a customer moves away from
-- it (MIGRATE_FROM=template). That template keeps no record: all there is of a
-- run is a membership that the bot granted.

-- Makes an unknown run one of ours, as if it had been lent by us, where the
-- template may have lent it: `ending` names user and role by that template's
-- rule. Only a membership that the bot itself has granted, and that no open run
-- of ours explains. Returns whether it did.
CREATE OR REPLACE FUNCTION sym.adopt_from_template(this_run text, ending jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    user_name text := ending #>> '{template,user}';
    role_name text := ending #>> '{template,role}';
    this_user oid := sym.role_named(user_name);
    this_role oid := sym.role_named(role_name);
    bot       oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
BEGIN
    -- What is ours or the server's was never the template's to lend.
    IF this_user IS NULL OR this_role IS NULL OR this_user = bot OR role_name ~* '^(sym_|pg_|rds)' THEN
        RETURN false;
    END IF;
    PERFORM sym.lock_user(this_user);
    IF NOT sym.is_granted_by(this_role, this_user, bot)
       OR sym.is_temporary_user(this_user)
       OR EXISTS (SELECT FROM sym.grants g WHERE g.user_oid = this_user AND g.role_oid = this_role
                  AND g.state = 'granted' AND NOT g.standing) THEN
        RETURN false;
    END IF;
    -- Open runs that found it there, and would have left it: the last of all to
    -- end takes it back.
    UPDATE sym.grants g SET standing = false
        WHERE g.user_oid = this_user AND g.role_oid = this_role AND g.state = 'granted' AND g.grantor_oid = bot;
    INSERT INTO sym.grants (run, strategy, state, requester, target, user_oid, user_name, role_oid, role_name,
                            grantor_oid, standing, privileges, granted_at, expires_at)
        VALUES (this_run, 'role', 'granted', ending ->> 'requester', ending ->> 'target', this_user, user_name,
                this_role, role_name, bot, false, sym.own_privileges(this_user), now(), now())
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

