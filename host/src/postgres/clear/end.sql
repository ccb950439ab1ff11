            EXCEPTION WHEN OTHERS THEN
                -- Somebody drops, at this moment, what it names.
                statements := '{}';
            END;
            EXIT WHEN statements = '{}';
            IF tried = 3 THEN
                remains := coalesce(remains, statements[1][2]);
                {undo}
                EXIT;
            END IF;
            -- Each by itself: one that fails, or would wait, keeps no other.
            FOREACH step SLICE 1 IN ARRAY statements LOOP
                CONTINUE WHEN step[2] IS NULL;
                BEGIN
                    IF tried = 1 AND step[1] <> current_user THEN
                        -- These may not even look into a schema.
                        IF step[1] = ANY (powerless) THEN
                            EXECUTE format('GRANT sym_graveyard TO %I', step[1]);
                        END IF;
                        PERFORM set_config('role', step[1], true);
                        EXECUTE step[2];
                        PERFORM set_config('role', ours, true);
                        IF step[1] = ANY (powerless) THEN
                            EXECUTE format('REVOKE sym_graveyard FROM %I', step[1]);
                        END IF;
                    ELSE
                        EXECUTE step[2];
                    END IF;
                    -- It was part of one in a way that we didn't see.
                    IF {is_dropping} AND (SELECT count(*) FROM pg_extension) < extensions THEN
                        RAISE dependent_objects_still_exist USING MESSAGE = 'an extension would go with it';
                    END IF;
                EXCEPTION
                    -- The last is what a change is called that somebody was quicker with.
                    WHEN lock_not_available OR deadlock_detected OR internal_error THEN
                        is_locked := true;
                        -- Who holds one may hold many.
                        PERFORM set_config('lock_timeout', '5ms', false);
                    WHEN OTHERS THEN
                        NULL;
                END;
                {keep}
            END LOOP;
            -- By the index, however little is known of the catalog when this is planned.
            setting := set_config('enable_seqscan', 'off', false);
            is_done := {is_done};
            setting := set_config('enable_seqscan', 'on', false);
            EXIT WHEN is_done;
        END LOOP;
        {end_object}
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
    IF is_cut_short OR remains IS NOT NULL OR is_locked AND {needs_all} THEN
        COMMIT;
        RAISE lock_not_available USING MESSAGE = CASE WHEN is_locked THEN 'something is locked by somebody else'
            WHEN is_cut_short THEN 'there is more to do than there was time for' ELSE 'without any effect: ' || remains END;
    END IF;
END $$;
