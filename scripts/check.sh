#!/bin/sh
# What a change must pass before its tests are looked at.
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc
cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
if command -v cargo-deny >/dev/null 2>&1; then
    # A build fetches only what this platform needs; licences are checked for all.
    cargo fetch --locked --quiet
    cargo deny --offline check bans licenses sources
else
    echo "cargo-deny is not installed: dependencies' licences were not checked (cargo install cargo-deny)"
fi
if command -v promtool >/dev/null 2>&1; then
    promtool test rules deploy/prometheus/alerts.test.yml
else
    echo "promtool is not installed: the alert rules were not tested (it comes with Prometheus)"
fi
