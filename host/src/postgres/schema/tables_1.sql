-- The ledger, version 1. Run by the migration, as the schema's owner: again
-- where somebody has put another comment on the schema.

-- One row a run, for as long as anybody may ask about it.
--
-- Never SQL: who can write a table must not be able to have us run something.
-- Users and roles are followed by OID: a renamed user is the same person, and
-- the same name with another OID is somebody else.
CREATE TABLE IF NOT EXISTS sym.grants (
    -- `run.srn`, in lower case.
    run         text PRIMARY KEY,
    -- NULL: it was ended before it began.
    strategy    text CHECK (strategy IN ('role', 'temporary-user')),
    -- pending (a temporary user may exist), granted, ending (a role was taken
    -- back, and sessions that could keep it are being ended; a temporary user can
    -- do nothing any more, and is being removed), ended.
    state       text NOT NULL CHECK (state IN ('pending', 'granted', 'ending', 'ended')),
    requester   text,
    approver    text,
    target      text,
    -- The release of plugins that decided.
    release     text,
    user_oid    oid,
    user_name   text,
    -- Of the strategy `role`: what was lent, and by whom, as read back.
    role_oid    oid,
    role_name   text,
    grantor_oid oid,
    -- The membership was there before us, so it is never taken away.
    standing    boolean NOT NULL DEFAULT false,
    -- How many privileges of its own the user had then, in all databases.
    privileges  int,
    -- Of the strategy `temporary-user`: the secret's name.
    secret      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    granted_at  timestamptz,
    -- When the database ends it by itself.
    expires_at  timestamptz,
    ended_at    timestamptz,
    -- deescalate, sweep, expire, revoke.
    ended_by    text
);

CREATE INDEX IF NOT EXISTS grants_open_by_user ON sym.grants (user_oid, role_oid) WHERE state <> 'ended';
CREATE INDEX IF NOT EXISTS grants_open_by_expiry ON sym.grants (expires_at) WHERE state <> 'ended';

-- Members of pg_write_all_data could rewrite it otherwise. No policy means that
-- nobody but the owner sees a row.
ALTER TABLE sym.grants ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON sym.grants FROM PUBLIC;
