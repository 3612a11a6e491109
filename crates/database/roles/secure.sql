-- What each role may do, and which rows it sees. May be repeated; run again after each migration.

GRANT USAGE ON SCHEMA salla, salla_sync
    TO salla_sync_web, salla_sync_worker, salla_sync_reports, salla_sync_cdc;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA salla, salla_sync TO salla_sync_worker;
REVOKE INSERT, UPDATE, DELETE ON salla_sync._sqlx_migrations FROM salla_sync_worker;

GRANT SELECT ON ALL TABLES IN SCHEMA salla TO salla_sync_web, salla_sync_reports, salla_sync_cdc;
GRANT SELECT (id, salla_id, name, currency, plan, domain) ON salla_sync.merchants
    TO salla_sync_reports, salla_sync_cdc;
GRANT SELECT (merchant_id, state, only_resource, max_orders, range_from, range_to, certificate)
    ON salla_sync.sync_runs TO salla_sync_reports, salla_sync_cdc;

-- The doors over HTTP read and steer imports. They read no token and no raw record.
GRANT SELECT, UPDATE (updated_at) ON salla_sync.merchants TO salla_sync_web;
GRANT SELECT (id, merchant_id, is_current, salla_id, state, disconnected_why, expires_at,
              created_at, updated_at, bound_at)
    ON salla_sync.connections TO salla_sync_web;
GRANT SELECT (salla_id, account) ON salla_sync.shop_claims TO salla_sync_web;
GRANT SELECT, INSERT, UPDATE ON salla_sync.sync_runs, salla_sync.merchant_sync_status
    TO salla_sync_web;
GRANT SELECT ON salla_sync.sync_windows, salla_sync.pending_details, salla_sync.rejected_records
    TO salla_sync_web;
GRANT SELECT, UPDATE (read_at) ON salla_sync.notifications TO salla_sync_web;
GRANT SELECT, INSERT ON salla_sync.queue_messages TO salla_sync_web;

DO $policies$
DECLARE
    secured record;
    own constant text := '(SELECT nullif(current_setting(''salla_sync.merchant'', true), '''')::uuid)';
    rows_of_web text;
    reader text;
BEGIN
    FOR secured IN
        SELECT c.oid, n.nspname, c.relname, c.relrowsecurity,
               EXISTS (SELECT FROM pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attname = 'merchant_id'
                         AND NOT a.attisdropped) AS has_merchant
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('salla', 'salla_sync') AND c.relkind IN ('r', 'p')
          AND c.relname <> '_sqlx_migrations'
        ORDER BY n.nspname, c.relname
    LOOP
        -- One value for the whole statement, so that an index finds the rows.
        rows_of_web := CASE
            WHEN secured.has_merchant THEN 'merchant_id = ' || own
            WHEN secured.nspname <> 'salla_sync' THEN 'false'
            WHEN secured.relname = 'merchants' THEN 'id = ' || own
            WHEN secured.relname = 'sync_windows' THEN
                'run_id IN (SELECT r.id FROM salla_sync.sync_runs r WHERE r.merchant_id = '
                || own || ')'
            WHEN secured.relname = 'shop_claims' THEN
                'salla_id = (SELECT m.salla_id FROM salla_sync.merchants m WHERE m.id = ' || own || ')'
            WHEN secured.relname = 'queue_messages' THEN 'strpos(body, ' || own || '::text) > 0'
            -- Nothing of one merchant, or nothing for the doors.
            ELSE 'false' END;
        -- The doors see one merchant's rows, whatever else is granted to them.
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = secured.oid AND polname = 'web') THEN
            EXECUTE format(
                'CREATE POLICY web ON %1$I.%2$I AS RESTRICTIVE TO salla_sync_web USING (%3$s) WITH CHECK (%3$s)',
                secured.nspname, secured.relname, rows_of_web);
        END IF;
        FOREACH reader IN ARRAY ARRAY['worker', 'reports', 'cdc'] LOOP
            IF NOT EXISTS (SELECT FROM pg_policy
                           WHERE polrelid = secured.oid AND polname = reader) THEN
                EXECUTE format('CREATE POLICY %I ON %I.%I TO %I USING (true) WITH CHECK (true)',
                    reader, secured.nspname, secured.relname, 'salla_sync_' || reader);
            END IF;
        END LOOP;
        -- Whoever was granted a table before goes on seeing all of it.
        IF NOT EXISTS (SELECT FROM pg_policy
                       WHERE polrelid = secured.oid AND polname = 'others') THEN
            EXECUTE format('CREATE POLICY others ON %I.%I USING (true) WITH CHECK (true)',
                secured.nspname, secured.relname);
        END IF;
        IF NOT secured.relrowsecurity THEN
            EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY',
                secured.nspname, secured.relname);
        END IF;
    END LOOP;
END
$policies$;
