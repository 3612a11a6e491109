#!/bin/sh
# Counts unsafe code, so that it grows on purpose only: who adds or removes some changes the
# number here. The crates that are not named forbid it.
set -eu
cd "$(dirname "$0")/.."

expected() {
    case $1 in
    database) echo 5 ;;          # options of sockets that the driver does not set
    embedded-postgres) echo 28 ;; # processes, users, locks, namespaces
    entrypoints) echo 7 ;;        # the allocator, processes, dumps, owners of files
    *) echo 0 ;;
    esac
}

failed=0
for crate in crates/*; do
    name=${crate#crates/}
    wanted=$(expected "$name")
    found=$(grep -rhE '^[^/]*\bunsafe( \{|$| fn| impl| extern)' "$crate/src" | wc -l | tr -d ' ')
    if [ "$found" != "$wanted" ]; then
        echo "$crate/src has $found pieces of unsafe code and $wanted are expected: if that is meant, say so in scripts/unsafe.sh" >&2
        failed=1
    fi
    [ "$wanted" = 0 ] || continue
    for root in "$crate/src/lib.rs" "$crate/src/main.rs"; do
        if [ -f "$root" ] && ! grep -q '^#!\[forbid(unsafe_code)\]' "$root"; then
            echo "$root has to say #![forbid(unsafe_code)]" >&2
            failed=1
        fi
    done
done
exit $failed
