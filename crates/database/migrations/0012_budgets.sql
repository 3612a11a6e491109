-- Salla counts the requests for customers by the address that they come from, so
-- processes behind one address spend from one budget and have to agree on it. Here they
-- meet anyway. A row for each block of permits and not a counter for each window:
-- nobody knows when Salla's window begins, so what is kept is any stretch of one
-- window's length.

CREATE TABLE salla_sync.shared_budgets (
    egress_group  text NOT NULL,
    budget        text NOT NULL,
    refused_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (egress_group, budget)
);
COMMENT ON TABLE salla_sync.shared_budgets IS
    'Request budgets that several processes spend from. The row is locked while permits are handed out.';
COMMENT ON COLUMN salla_sync.shared_budgets.egress_group IS
    'Names the address that the processes'' requests come from: SALLA_SYNC_EGRESS_GROUP.';
COMMENT ON COLUMN salla_sync.shared_budgets.budget IS 'Which of the budgets that Salla counts by address; customers.';
COMMENT ON COLUMN salla_sync.shared_budgets.refused_until IS
    'Salla refused a request; nobody is given a permit before this moment.';

CREATE TABLE salla_sync.budget_grants (
    id            uuid PRIMARY KEY,
    egress_group  text NOT NULL,
    budget        text NOT NULL,
    taker         uuid NOT NULL,
    permits       integer NOT NULL CHECK (permits > 0),
    counted_until timestamptz NOT NULL,
    FOREIGN KEY (egress_group, budget) REFERENCES salla_sync.shared_budgets
);
CREATE INDEX budget_grants_of_budget ON salla_sync.budget_grants (egress_group, budget, counted_until);
COMMENT ON TABLE salla_sync.budget_grants IS
    'Blocks of permits that were handed out and still count. Those of a process that died age out like all others.';
COMMENT ON COLUMN salla_sync.budget_grants.id IS 'Names the block when permits are given back.';
COMMENT ON COLUMN salla_sync.budget_grants.egress_group IS 'The group of the budget.';
COMMENT ON COLUMN salla_sync.budget_grants.budget IS 'The budget within its group.';
COMMENT ON COLUMN salla_sync.budget_grants.taker IS 'The process that the block was handed to.';
COMMENT ON COLUMN salla_sync.budget_grants.permits IS 'Requests that may be sent or have been; without what was given back.';
COMMENT ON COLUMN salla_sync.budget_grants.counted_until IS
    'One window after the last moment at which a permit of the block may be used, by the database''s clock.';

CREATE TABLE salla_sync.budget_takers (
    egress_group text NOT NULL,
    budget       text NOT NULL,
    taker        uuid NOT NULL,
    asked_at     timestamptz NOT NULL,
    PRIMARY KEY (egress_group, budget, taker),
    FOREIGN KEY (egress_group, budget) REFERENCES salla_sync.shared_budgets
);
COMMENT ON TABLE salla_sync.budget_takers IS
    'Processes that wanted more permits than they were given. As long as they go on asking, what becomes free is divided among them.';
COMMENT ON COLUMN salla_sync.budget_takers.egress_group IS 'The group of the budget.';
COMMENT ON COLUMN salla_sync.budget_takers.budget IS 'The budget within its group.';
COMMENT ON COLUMN salla_sync.budget_takers.taker IS 'The process; a new one each time it starts.';
COMMENT ON COLUMN salla_sync.budget_takers.asked_at IS 'When it asked last, by the database''s clock.';
