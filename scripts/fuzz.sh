#!/bin/sh
# Throws chance at everything that reads what Salla sends, for a while per target.
#
#   scripts/fuzz.sh           60 seconds each
#   scripts/fuzz.sh 600       ten minutes each
#   scripts/fuzz.sh 600 7     the same, beginning with seed 7 (0: another one each time)
#
# Stops at the first crash and says how to replay it. Interesting inputs stay in
# fuzz/corpus, where the next run continues.
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc
seconds=${1:-60}
seed=${2:-0}

# The instrumentation is not in stable Rust yet, though the stable compiler has it.
export RUSTC_BOOTSTRAP=1

if ! command -v cargo-fuzz >/dev/null 2>&1; then
    echo "cargo-fuzz is not installed: installing it"
    cargo install --locked cargo-fuzz
fi

for target in page headers record webhook; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    echo "== $target, $seconds s"
    if ! cargo fuzz run "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -seed="$seed" -timeout=10 -rss_limit_mb=2048; then
        echo "$target has failed. What it failed on is in fuzz/artifacts/$target; again with:" >&2
        echo "  RUSTC_BOOTSTRAP=1 cargo fuzz run $target fuzz/artifacts/$target/FILE" >&2
        exit 1
    fi
done
