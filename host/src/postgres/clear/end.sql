        EXCEPTION WHEN OTHERS THEN
            -- Somebody drops, at this moment, what it names.
            statements := '{}';
        END;
        -- Each by itself: one that fails, or would wait, keeps no other.
        FOREACH statement IN ARRAY statements LOOP
            CONTINUE WHEN statement IS NULL;
            BEGIN
                EXECUTE statement;
                -- It was part of one in a way that we didn't see.
                IF {is_dropping} AND (SELECT count(*) FROM pg_extension) < extensions THEN
                    RAISE dependent_objects_still_exist USING MESSAGE = 'an extension would go with it';
                END IF;
            EXCEPTION
                WHEN lock_not_available THEN
                    is_locked := true;
                    -- Who holds one may hold many.
                    PERFORM set_config('lock_timeout', '5ms', false);
                WHEN OTHERS THEN
                    NULL;
            END;
        END LOOP;
        EXIT WHEN {is_dropping} AND is_locked;
        IF clock_timestamp() > committed + interval '20 ms' THEN
            IF lends THEN
                EXECUTE format('REVOKE sym_graveyard FROM %I', heir);
                lends := false;
            END IF;
            COMMIT;
            committed := clock_timestamp();
            IF committed > begun + {time} THEN
                is_cut_short := true;
                EXIT;
            END IF;
        END IF;
    END LOOP;
    IF lends THEN
        EXECUTE format('REVOKE sym_graveyard FROM %I', heir);
    END IF;
    IF is_cut_short OR is_locked AND {needs_all} THEN
        COMMIT;
        RAISE lock_not_available USING MESSAGE = CASE WHEN is_locked THEN 'something is locked by somebody else'
            ELSE 'there is more to do than there was time for' END;
    END IF;
END $$;
