-- A server that refuses to say who it is has no identity, in whatever words it refuses: Amazon
-- Aurora has functions with these names and answers pg_current_wal_lsn() with other errors than
-- a missing right, and so no shop could be connected there.

CREATE OR REPLACE FUNCTION salla_sync.home() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()),
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()));
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION salla_sync.home() IS
    'Which database this is: system identifier, timeline, database; null where the server does not say.';
