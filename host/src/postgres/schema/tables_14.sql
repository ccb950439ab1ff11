-- The ledger, version 14: which roles were taken of a temporary user.

-- What a session made with one of them, until it was ended, is looked for at the last.
ALTER TABLE sym.grants ADD COLUMN IF NOT EXISTS taken_roles oid[];
