#!/bin/sh
# Prints the folder of the servers that stand for AWS in tests as its last line, getting them
# first: MiniStack and cfn-lint from PyPI, fauxqs from npm. They are two, so that no server's
# habit is taken for the truth.
#
# Needs Python from 3.10 on with venv, and npm. What is there already is kept.
set -eu
umask 022

ministack=1.5.33
cfn_lint=1.58.0
fauxqs=2.4.1

main() {
    if [ "$(id -u)" = 0 ]; then
        cache=/var/cache/salla-sync
    else
        cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/salla-sync
    fi
    target=$cache/aws-servers-$ministack-$cfn_lint-$fauxqs
    if [ ! -e "$target/complete" ]; then
        need python3 "install Python 3.10 or newer (Debian/Ubuntu: apt-get install python3-venv)"
        need npm "install npm (Debian/Ubuntu: apt-get install npm; macOS: brew install node)"
        mkdir -p "$cache"
        # A venv holds its own path, so it is made where it stays.
        rm -rf "$target"
        say "getting MiniStack $ministack and cfn-lint $cfn_lint"
        python3 -m venv "$target/venv" >&2 ||
            fail "this Python makes no venv; install it (Debian/Ubuntu: apt-get install python3-venv)"
        "$target/venv/bin/pip" install --quiet --disable-pip-version-check \
            "ministack==$ministack" "cfn-lint==$cfn_lint" "cryptography==46.0.3" >&2
        say "getting fauxqs $fauxqs"
        npm install --prefix "$target" --no-audit --no-fund --ignore-scripts --loglevel=error \
            "fauxqs@$fauxqs" >&2
        touch "$target/complete"
    fi
    echo "$target"
}

need() { command -v "$1" >/dev/null || fail "$1 is missing; $2, and run this again"; }

say() { echo "get-aws-servers: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

main "$@"
