-- The ledger, version 8: by which server a run was begun.

-- `server_version_num`. Memberships that a server before 16 kept have another grantor
-- after an upgrade to 16 or later, and we can't revoke them. NULL: before version 8.
ALTER TABLE sym.grants ADD COLUMN IF NOT EXISTS server_version int;
ALTER TABLE sym.grants ALTER COLUMN server_version SET DEFAULT current_setting('server_version_num')::int;
