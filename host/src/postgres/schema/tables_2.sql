-- The ledger, version 2: which releases of plugins were in use.

-- One row a function. Its serial never goes down: an old release, signed as
-- rightly as the new one, can't be put back by who can write the bucket.
CREATE TABLE IF NOT EXISTS sym.releases (
    -- The function's name.
    audience    text PRIMARY KEY,
    serial      bigint NOT NULL,
    -- Two publishers at once may have signed the same serial: one of them is
    -- accepted, and the other is refused from then on.
    release     text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE sym.releases ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON sym.releases FROM PUBLIC;
