#!/bin/sh
# Prints the path of schemathesis as its last line, installing it first if it is not there: into
# a separate folder, from the packages whose hashes are in scripts/schemathesis.
set -eu
cd "$(dirname "$0")/.."
umask 022

requirements=scripts/schemathesis/requirements.txt
cache=${CARGO_TARGET_DIR:-target}/schemathesis
hash=$(cksum <"$requirements" | cut -d ' ' -f 1)
home=$cache/$hash

if [ ! -e "$home/complete" ]; then
    command -v python3 >/dev/null 2>&1 || {
        echo "the API's test needs Python 3.10 or newer: apt-get install python3-venv" >&2
        exit 1
    }
    echo "installing schemathesis" >&2
    python3 -m venv --clear "$home" >&2
    "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        --only-binary :all: -r "$requirements" >&2
    touch "$home/complete"
fi
echo "$(cd "$home" && pwd -P)/bin/schemathesis"
