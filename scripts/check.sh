#!/bin/sh
# What a change must pass before its tests are looked at. What could not be checked here is
# named at the end.
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc

not_checked=''
skip() {
    echo "$1 not checked: $2" >&2
    not_checked="$not_checked
  - $1 ($2)"
}

cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
# The examples ask for the same features of all dependencies as clippy's targets did, which
# are then not compiled once more.
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --locked --quiet \
    --lib --bin salla-sync --bin lambda --examples
scripts/unsafe.sh
scripts/words.sh
if command -v cargo-deny >/dev/null 2>&1; then
    # A build fetches only what this platform needs; licenses are checked for all.
    cargo fetch --locked --quiet
    cargo deny --offline check bans licenses sources
    # The advisories change every day and lie in a repository that not every machine reaches.
    if problem=$(cargo deny fetch db 2>&1); then
        cargo deny --offline check advisories
    else
        echo "$problem" | tail -n 3 >&2
        skip "known vulnerabilities of dependencies were" "https://github.com/RustSec/advisory-db could not be fetched"
    fi
else
    skip "dependencies' licenses, sources and known vulnerabilities were" "cargo install --locked cargo-deny"
fi
if command -v promtool >/dev/null 2>&1; then
    promtool test rules deploy/prometheus/alerts.test.yml
else
    skip "the alert rules were" "promtool, which comes with Prometheus, is not installed"
fi

if [ -n "$not_checked" ]; then
    echo "All that was checked is well. NOT CHECKED:$not_checked"
else
    echo "All is checked and well."
fi
