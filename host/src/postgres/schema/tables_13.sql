-- The ledger, version 13: which runs are being made, or ended.

-- There are few, beside any number of those that are granted.
CREATE INDEX IF NOT EXISTS grants_under_way ON sym.grants (state) WHERE state IN ('pending', 'ending');
