    -- Before what is in them: nothing is given to who may not create in its schema, and the
    -- leaver may have taken that from itself.
    FOR object IN
        SELECT n.oid::regnamespace AS name
        FROM pg_namespace n
        WHERE n.nspowner = leaver AND {may_have}
        ORDER BY random()
    LOOP
        FOR tried IN 0..{tries} LOOP BEGIN
            statements := ARRAY[[NULL, format('ALTER SCHEMA %s OWNER TO %I; GRANT CREATE ON SCHEMA %1$s TO %2$I', object.name, heir)]];
