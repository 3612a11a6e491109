-- Roles that nobody logs in with by themselves: they are granted to those who do.
DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['salla_sync_web', 'salla_sync_worker', 'salla_sync_reports',
                                  'salla_sync_cdc'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                -- Another database of this server was given its roles at the same moment.
                NULL;
            END;
        END IF;
    END LOOP;
END
$roles$;
