-- The beginning of each list in this directory: what `object` is found by goes between this
-- and `end.sql`, and what is to be done for each, one after the other.
--
-- Each list is a statement of its own, with a time of its own, as whoever makes it long may
-- have made only that: what the time is too short for is the next sweep's. Objects are listed
-- by their OIDs, and looked at one by one, so that a list has begun to be worked off before
-- all of it was looked at; and what a try doesn't change by itself comes in another order each
-- time, so that nothing is behind the others for good.
DO $$
DECLARE
    leaver constant regrole := {leaver};
    here constant oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    heir constant text := {heir};
    begun constant timestamptz := clock_timestamp();
    committed timestamptz := begun;
    object record;
    statements text[];
    statement text;
    is_locked boolean := false;
    is_cut_short boolean := false;
    lends boolean := false;
    extensions constant bigint := (SELECT count(*) FROM pg_extension);
BEGIN
    PERFORM set_config('lock_timeout', '100ms', false);
    -- Who owns what has no index, in the catalog of its kind.
    PERFORM set_config('enable_seqscan', 'on', false);
