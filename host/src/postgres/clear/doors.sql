    -- What PostgreSQL asks a right for when it is made, and never again. It may be somebody
    -- else's table, whose readers would wait behind this: so the first that is locked ends the list.
    FOR object IN
        SELECT rights.statement FROM ({rights}) AS rights
    LOOP
        BEGIN
            statements := ARRAY[object.statement];
