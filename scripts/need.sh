#!/bin/sh
# Says in one line what is missing and how to get it.
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 && continue
    case $program in
    cargo) echo "salla-sync needs Rust: install rustup from https://rustup.rs" >&2 ;;
    cc) echo "salla-sync needs a C compiler: apt-get install build-essential, or xcode-select --install" >&2 ;;
    *) echo "salla-sync needs $program, which is not installed" >&2 ;;
    esac
    exit 1
done
