-- Which of the app's customers a shop belongs to, and the three ways to say so.

CREATE TABLE salla_sync.shop_claims (
    salla_id     bigint PRIMARY KEY,
    account      text CHECK (octet_length(account) BETWEEN 1 AND 200),
    claimed_by   text NOT NULL,
    claimed_at   timestamptz NOT NULL,
    named_at     timestamptz,
    depth_months smallint CHECK (depth_months IN (12, 24)),
    CHECK ((account IS NULL) = (named_at IS NULL))
);
CREATE INDEX shop_claims_by_account ON salla_sync.shop_claims (account) WHERE account IS NOT NULL;
COMMENT ON TABLE salla_sync.shop_claims IS
    'Shops whose merchant has shown up, or whom an account of the app has claimed. A row may be there before the shop''s tokens, and stays when they end.';
COMMENT ON COLUMN salla_sync.shop_claims.salla_id IS 'Salla''s number of the shop.';
COMMENT ON COLUMN salla_sync.shop_claims.account IS
    'The app''s own name of its customer. Once it is there it never changes: a shop is not moved from one account to another.';
COMMENT ON COLUMN salla_sync.shop_claims.claimed_by IS
    'What came first: embedded (the merchant opened the page inside the dashboard), consent, code or link.';
COMMENT ON COLUMN salla_sync.shop_claims.claimed_at IS 'When that was.';
COMMENT ON COLUMN salla_sync.shop_claims.named_at IS 'Since when the account is known.';
COMMENT ON COLUMN salla_sync.shop_claims.depth_months IS
    'How many months of orders the merchant or the app wishes; null: what the server is set to.';

CREATE TABLE salla_sync.claim_codes (
    hmac         bytea PRIMARY KEY,
    account      text NOT NULL,
    depth_months smallint,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    used_by      bigint,
    CHECK ((used_at IS NULL) = (used_by IS NULL))
);
CREATE INDEX claim_codes_by_expiry ON salla_sync.claim_codes (expires_at);
COMMENT ON TABLE salla_sync.claim_codes IS
    'One-time codes that a merchant types into the app''s settings at Salla. Rows are deleted 30 days after they have expired.';
COMMENT ON COLUMN salla_sync.claim_codes.hmac IS
    'HMAC-SHA256 of the code under a key derived from SALLA_SYNC_KEY: a code has 80 bits, and the key is not in the database.';
COMMENT ON COLUMN salla_sync.claim_codes.account IS 'Whose shop it makes the one into whose settings it is typed.';
COMMENT ON COLUMN salla_sync.claim_codes.depth_months IS 'How many months of orders are wished.';
COMMENT ON COLUMN salla_sync.claim_codes.expires_at IS 'Until when it counts.';
COMMENT ON COLUMN salla_sync.claim_codes.used_at IS 'When it was used.';
COMMENT ON COLUMN salla_sync.claim_codes.used_by IS 'Salla''s number of the shop that used it, which may send it again.';

CREATE TABLE salla_sync.page_links (
    hash         bytea PRIMARY KEY,
    account      text,
    salla_id     bigint,
    depth_months smallint,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    state        bytea UNIQUE,
    CHECK ((account IS NULL) <> (salla_id IS NULL))
);
CREATE INDEX page_links_by_expiry ON salla_sync.page_links (expires_at);
COMMENT ON TABLE salla_sync.page_links IS
    'Links that the app''s backend gives to its customers: to connect a shop to their account, or to the page of a shop. Each is used once; rows are deleted a day after they have expired.';
COMMENT ON COLUMN salla_sync.page_links.hash IS 'SHA-256 of the secret in the link, which has 256 random bits.';
COMMENT ON COLUMN salla_sync.page_links.account IS 'The account that a shop is to be connected to.';
COMMENT ON COLUMN salla_sync.page_links.salla_id IS 'Salla''s number of the shop whose page it opens.';
COMMENT ON COLUMN salla_sync.page_links.depth_months IS 'How many months of orders are wished.';
COMMENT ON COLUMN salla_sync.page_links.expires_at IS 'Until when it counts.';
COMMENT ON COLUMN salla_sync.page_links.used_at IS 'When it was used.';
COMMENT ON COLUMN salla_sync.page_links.state IS
    'SHA-256 of the state of the consent that it began, by which the account is known when the browser comes back.';
