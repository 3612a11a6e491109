#!/bin/sh
# Prints the folder of what checks the files in deploy/ as its last line, getting it first:
# checkov and kubernetes-validate from PyPI, and cfn-guard with the rules of AWS Control Tower
# from npm.
#
# Needs Python from 3.10 on with venv, and npm. What is there already is kept.
set -eu
umask 022

checkov=3.3.30
kubernetes_validate=1.37.0
cfn_guard=0.0.62

main() {
    if [ "$(id -u)" = 0 ]; then
        cache=/var/cache/salla-sync
    else
        cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/salla-sync
    fi
    target=$cache/template-linters-$checkov-$kubernetes_validate-$cfn_guard
    if [ ! -e "$target/complete" ]; then
        need python3 "install Python 3.10 or newer (Debian/Ubuntu: apt-get install python3-venv)"
        need npm "install npm (Debian/Ubuntu: apt-get install npm; macOS: brew install node)"
        mkdir -p "$cache"
        # A venv holds its own path, so it is made where it stays.
        rm -rf "$target"
        say "getting checkov $checkov and kubernetes-validate $kubernetes_validate"
        python3 -m venv "$target/venv" >&2 ||
            fail "this Python makes no venv; install it (Debian/Ubuntu: apt-get install python3-venv)"
        "$target/venv/bin/pip" install --quiet --disable-pip-version-check \
            "checkov==$checkov" "kubernetes-validate==$kubernetes_validate" >&2
        say "getting cfn-guard, as cdk-validator-cfnguard $cfn_guard brings it"
        npm install --prefix "$target" --no-audit --no-fund --ignore-scripts --loglevel=error \
            --legacy-peer-deps "@cdklabs/cdk-validator-cfnguard@$cfn_guard" >&2
        package=$target/node_modules/@cdklabs/cdk-validator-cfnguard
        case $(uname -s)-$(uname -m) in
        Linux-x86_64) program=bin/ubuntu/x86_64/cfn-guard ;;
        Linux-aarch64) program=bin/ubuntu/aarch64/cfn-guard ;;
        Darwin-x86_64) program=bin/macos/x86_64/cfn-guard ;;
        Darwin-arm64) program=bin/macos/aarch64/cfn-guard ;;
        *) program= ;;
        esac
        if [ -n "$program" ] && [ -e "$package/$program" ]; then
            chmod +x "$package/$program"
            ln -s "$package/$program" "$target/cfn-guard"
        fi
        ln -s "$package/rules/control-tower/cfn-guard" "$target/rules"
        touch "$target/complete"
    fi
    echo "$target"
}

need() { command -v "$1" >/dev/null || fail "$1 is missing; $2, and run this again"; }

say() { echo "get-template-linters: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

main "$@"
