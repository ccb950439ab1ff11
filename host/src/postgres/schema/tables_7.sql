-- The ledger, version 7: what is locked, and which memberships could be kept.

-- One row a user to whom something was ever lent. Whoever lends to it, or takes back
-- from it, locks the row. No advisory lock, which everybody who may log in can keep.
-- The table is there already: migrations lock it.
ALTER TABLE sym.locks ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON sym.locks FROM PUBLIC;

-- Whether the membership that was taken back was with SET (since 16): a session can
-- have kept it by SET ROLE. Ours are without, those of Sym's template are not.
ALTER TABLE sym.grants ADD COLUMN IF NOT EXISTS with_set boolean NOT NULL DEFAULT false;
