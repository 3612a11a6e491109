.DEFAULT_GOAL := help
SHELL := /bin/sh
FIND_PG_BIN = $$(scripts/get-postgres.sh | tail -n 1)

.PHONY: help demo test check bench chaos fuzz package

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Import a simulated shop into a private PostgreSQL: no account, no set-up
	@scripts/need.sh cargo cc
	@pg_bin="$(FIND_PG_BIN)" && test -n "$$pg_bin" && \
	  cargo build --profile demo --locked --bin salla-sync && \
	  PG_BIN="$$pg_bin" target/demo/salla-sync demo $(DEMO_ARGS)

test: ## Run all tests, installing what they need
	@scripts/test.sh

check: ## Format, lints, documentation and dependencies: what CI runs before the tests
	@scripts/check.sh

bench: ## Measure the import against the floor and against a plain download
	@cargo bench --locked -p entrypoints --bench import

chaos: ## Break the import at seeded moments and compare every row with the truth
	@scripts/chaos.sh $(CHAOS_ARGS)

fuzz: ## Throw chance at everything that reads what Salla sends
	@scripts/fuzz.sh

package: ## Build the package for AWS Lambda and check its size
	@scripts/lambda-package.sh $(PACKAGE_ARGS)
