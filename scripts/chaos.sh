#!/bin/sh
# Chaos for the whole service: seeded cases of a living shop, a moody Salla, and an
# importer that is killed, stopped and cut off; in the end the tables must equal the
# truth. Each seed is a case; one that fails is printed with its plan.
#
#   scripts/chaos.sh                 200 seeds or 10 minutes, whichever ends first
#   scripts/chaos.sh --seeds N       N seeds
#   scripts/chaos.sh --minutes M     as many seeds as fit
#   scripts/chaos.sh --seed N        replay one case alone; SALLA_CHAOS_LOG=info shows its log
#   scripts/chaos.sh --from N ...    begin with this seed
#   scripts/chaos.sh --refreshes N   only refresh tokens, in processes that are killed: 10,000
#                                    times as part of the first
set -eu
cd "$(dirname "$0")/.."
scripts/need.sh cargo cc

usage() {
    echo "usage: scripts/chaos.sh [--seed N | --refreshes N | [--from N] [--seeds N] [--minutes M]]" >&2
    exit 2
}

seeds=''
minutes=''
refreshes=''
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $2 in '' | *[!0-9]*) usage ;; esac
    case $1 in
    --seed) export SALLA_CHAOS_SEED="$2" ;;
    --seeds) seeds=$2 ;;
    --from) export SALLA_CHAOS_FROM="$2" ;;
    --minutes) minutes=$2 ;;
    --refreshes) refreshes=$2 ;;
    *) usage ;;
    esac
    shift 2
done
if [ -z "$seeds" ] && [ -z "$minutes" ]; then
    seeds=200 minutes=10
fi
export SALLA_CHAOS_REFRESHES="${refreshes:-10000}"
only=''
[ -z "$refreshes" ] || only=refreshes::
export SALLA_CHAOS_SEEDS="${seeds:-100000}"
[ -z "$minutes" ] || export SALLA_CHAOS_MINUTES="$minutes"

if [ -z "${PG_BIN:-}" ]; then
    PG_BIN=$(scripts/get-postgres.sh | tail -n 1)
    export PG_BIN
fi
exec cargo test --locked -p entrypoints --test chaos -- --nocapture $only
