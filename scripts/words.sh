#!/bin/sh
# Keeps the words of the glossary (ARCHITECTURE.md): pages, comments and messages use no word that
# was replaced, code gets no new identifier that is made of one, and nothing points to notes
# outside of this repository.
#
#   scripts/words/prose.tsv         words that pages do not use
#   scripts/words/text.tsv          words that comments and messages do not use
#   scripts/words/parts.txt         parts that no new identifier has
#   scripts/words/identifiers.txt   identifiers from before; this list only shrinks
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C

failed=0

# Text of pages without code: retired words in file names and messages are the code's.
pages=$(find README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs .github \
    deploy \( -name '*.md' -o -name 'alerts.yml' -o -name 'dashboard.json' -o -name '*.service' \) |
    sort)
# shellcheck disable=SC2086
awk -F '\t' '
    NR == FNR {
        if ($0 !~ /^#/ && NF == 2) { rules++; word[rules] = "(^|[^a-z_])(" $1 ")([^a-z_]|$)"; instead[rules] = $2 }
        next
    }
    FNR == 1 { in_code = 0 }
    /^ *```/ { in_code = !in_code; next }
    in_code { next }
    {
        text = tolower($0)
        gsub(/`[^`]*`/, "`", text)
        gsub(/\]\([^)]*\)/, "]", text)
        for (i = 1; i <= rules; i++)
            if (match(text, word[i])) {
                found = substr(text, RSTART, RLENGTH)
                gsub(/^[^a-z]+|[^a-z]+$/, "", found)
                printf "%s:%d: \"%s\": write %s\n", FILENAME, FNR, found, instead[i]
                bad = 1
            }
    }
    END { exit bad }
' scripts/words/prose.tsv $pages >&2 || failed=1

# Comments and messages: whole lines, because what stands between is seldom one of these words.
# Applied migrations cannot be changed, so SQL is left out. Phrases may run over two lines.
texts=$(find crates deploy examples fuzz scripts .config deny.toml Makefile \
    \( -name target -o -name node_modules -o -path scripts/words \) -prune -o -type f \
    \( -name '*.rs' -o -name '*.toml' -o -name '*.sh' -o -name '*.yaml' -o -name '*.yml' \
    -o -name '*.ts' -o -name '*.js' -o -name '*.py' -o -name Makefile \) -print | sort)
# shellcheck disable=SC2086
awk -F '\t' '
    NR == FNR {
        if ($0 !~ /^#/ && NF == 2) {
            word[++rules] = "(^|[^a-z_])(" $1 ")([^a-z_]|$)"
            instead[rules] = $2
            any = any (any == "" ? "" : "|") $1
        }
        next
    }
    FNR == 1 { before = "" }
    # Another description would replace the security group in every stack.
    /GroupDescription:/ { next }
    {
        text = tolower($0)
        # The name of an account.
        gsub(/`[^`]*`|\\?"nobody\\?"/, "`", text)
        sub(/^[ \t]*(\/\/[\/!]?|#|\*)/, "", text)
        sub(/^[ \t]+/, "", text)
        both = before " " text
        if (both ~ any)
            for (i = 1; i <= rules; i++)
                if (match(text, word[i]) || (before != "" && match(both, word[i]))) {
                    found = substr(both, RSTART, RLENGTH)
                    if (match(text, word[i])) found = substr(text, RSTART, RLENGTH)
                    gsub(/^[^a-z]+|[^a-z]+$/, "", found)
                    printf "%s:%d: \"%s\": write %s\n", FILENAME, FNR, found, instead[i]
                    bad = 1
                }
        # Up to two words, for a phrase that runs over the end of the line.
        sub(/[ \t]*\\?$/, "", text)
        before = match(text, /([a-z]+ )?[a-z]+$/) ? substr(text, RSTART) : ""
    }
    END { exit bad }
' scripts/words/text.tsv $texts >&2 || failed=1

# Identifiers, without comments and strings.
now=$(find crates -path '*/src/*' -name '*.rs' -exec cat {} + | awk '
    {
        gsub(/"([^"\\]|\\.)*"/, "")
        sub(/\/\/.*/, "")
        gsub(/[^A-Za-z0-9_]+/, "\n")
        print
    }' | grep -E '^[A-Za-z_]' | sort -u | awk '
    NR == FNR { if ($0 !~ /^#/) retired[$0] = 1; next }
    {
        parts = $0
        # WalkedPage and walked_page both become "walked page".
        while (match(parts, /[a-z0-9][A-Z]/))
            parts = substr(parts, 1, RSTART) " " substr(parts, RSTART + 1)
        n = split(tolower(parts), part, /[ _]/)
        for (i = 1; i <= n; i++) if (part[i] in retired) { print $0; break }
    }' scripts/words/parts.txt -)
before=$(grep -v '^#' scripts/words/identifiers.txt | sort -u)
for name in $(printf '%s\n' "$now" | grep -vxF "$before" || true); do
    echo "$name: use the words of the glossary in ARCHITECTURE.md for new identifiers" >&2
    grep -rnwF --include='*.rs' "$name" crates | head -n 1 | cut -c 1-100 >&2
    failed=1
done
for name in $(printf '%s\n' "$before" | grep -vxF "$now" || true); do
    echo "$name is gone: take it out of scripts/words/identifiers.txt" >&2
    failed=1
done

if grep -rnE --exclude-dir=target --include='*.rs' --include='*.md' --include='*.sql' --include='*.toml' --include='*.sh' \
    'FACTS §|DESIGN §|EXPORTS §|FIELD-CASES|\.\./shared/' crates docs deploy fuzz ./*.md >&2; then
    echo "these point outside of the repository: docs/salla-api.md, ARCHITECTURE.md and docs/decisions hold what is known" >&2
    failed=1
fi

exit $failed
