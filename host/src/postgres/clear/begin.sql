-- The beginning of each list in this directory: what `object` is found by goes between this
-- and `end.sql`, and what is to be done for each, one after the other.
--
-- Each list is a statement of its own, with a time of its own, as whoever makes it long may
-- have made only that: what the time is too short for is the next sweep's. Objects are listed
-- by their OIDs, and looked at one by one, so that a list has begun to be worked off before
-- all of it was looked at; and what a try doesn't change by itself comes in another order each
-- time, so that nothing is behind the others for good.
--
-- Each entry of an ACL goes to `aclexplode` by itself: that copies all of what it gets for each of
-- its rows, and anybody may make a long one.
--
-- `statements` are pairs: a role, or NULL, and what is to be done. A list that is looked at again
-- says, when that is done, what there is still. For a REVOKE takes what the first of our roles
-- granted that may grant it; and where that isn't who did, it does nothing, and says nothing. By a
-- GRANT OPTION for us, anybody can make it so. What is left is then done as who granted it.
DO $$
DECLARE
    leaver constant regrole := {leaver};
    here constant oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    heir constant text := {heir};
    begun constant timestamptz := clock_timestamp();
    committed timestamptz := begun;
    object record;
    statements text[];
    step text[];
    -- By which columns something was passed on, when this object's turn came: see `passed_on.sql`.
    passed_on text[];
    ours constant text := current_setting('role');
    powerless constant text[] := ARRAY[pg_get_userbyid(leaver), heir];
    setting text;
    is_done boolean;
    is_locked boolean := false;
    is_cut_short boolean := false;
    remains text;
    lends boolean := false;
    extensions constant bigint := (SELECT count(*) FROM pg_extension);
BEGIN
    PERFORM set_config('lock_timeout', '100ms', false);
    -- Who owns what has no index, in the catalog of its kind.
    PERFORM set_config('enable_seqscan', 'on', false);
