-- The ledger, version 14: which roles were taken of a temporary user, and whose a secret is.

-- What a session made with one of them, until it was ended, is looked for at the last.
ALTER TABLE sym.grants ADD COLUMN IF NOT EXISTS taken_roles oid[];

-- Of two open runs with the id of one, both would have the same secret.
CREATE INDEX IF NOT EXISTS grants_open_by_secret ON sym.grants (secret) WHERE state <> 'ended' AND secret IS NOT NULL;
