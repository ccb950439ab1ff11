-- Which release of plugins a function may go by.

-- Accepts a release of plugins for a function, by its serial: one that is lower
-- than any before is an old release that somebody put back, and another one of
-- the same serial lost the race between two publishers. Returns the highest.
CREATE OR REPLACE FUNCTION sym.accept_release(audience text, serial bigint, release text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    accepted sym.releases;
BEGIN
    SELECT r.* INTO accepted FROM sym.releases r WHERE r.audience = accept_release.audience;
    -- Mostly it is the one in use, and there is nothing to write.
    IF NOT FOUND OR accepted.serial < accept_release.serial THEN
        INSERT INTO sym.releases AS r (audience, serial, release)
            VALUES (accept_release.audience, accept_release.serial, accept_release.release)
            ON CONFLICT ON CONSTRAINT releases_pkey DO UPDATE SET
                serial = excluded.serial, release = excluded.release, accepted_at = now()
            WHERE r.serial < excluded.serial;
        SELECT r.* INTO accepted FROM sym.releases r WHERE r.audience = accept_release.audience;
    END IF;
    IF accepted.serial > accept_release.serial THEN
        PERFORM sym.refuse('release-refused',
            jsonb_build_object('serial', accept_release.serial, 'highest', accepted.serial));
    ELSIF accepted.release <> accept_release.release THEN
        PERFORM sym.refuse('release-refused', jsonb_build_object('why', 'same-serial', 'serial', accept_release.serial));
    END IF;
    RETURN accepted.serial;
END $$;
