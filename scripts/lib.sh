# shellcheck shell=bash
# lib.sh -- what the scripts share: folders, messages, quiet steps. Sourced, after set -euo pipefail.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${TRANCHE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tranche}
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*" >&2; }
die() {
    say "$(basename "$0"): $*"
    exit 1
}

# usage TEXT... comes from a script's own head: its comment lines after the first.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# Logs of this clone: another clone that shares the cache has its own.
logs=$root/build/log
log_of() { printf '%s/%s-%s.log\n' "$logs" "$(basename "$0")" "$(tr -cs 'a-zA-Z0-9' '-' <<<"${1:0:40}")"; }

# step TEXT COMMAND...: prints TEXT and the seconds that the command took. The command's output goes to
# a log; when the command fails, the end of the log is printed and the script ends. Not for conditions:
# there `set -e` is off.
step() {
    local text=$1 start=$SECONDS log rc
    shift
    mkdir -p "$logs"
    log=$(log_of "$text")
    [[ -t 2 ]] && printf '  %s ...' "$text" >&2
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    rc=$?
    set -e
    if ((rc != 0)); then
        say "  $text: failed after $((SECONDS - start)) s; the end of $log:"
        tail -n 60 "$log" >&2
        exit 1
    fi
    [[ -t 2 ]] && printf '\r' >&2
    say "  $text: $((SECONDS - start)) s   "
}

# pins USE...: the lines of scripts/pins for these uses.
pins() {
    local use
    for use in "$@"; do
        awk -v use="$use" '!/^#/ && $4 == use' "$root/scripts/pins"
    done
}

# client_pins USE: the same of scripts/pins.clients.
client_pins() { awk -v use="$1" '!/^#/ && $4 == use' "$root/scripts/pins.clients"; }

short_hash() { sha256sum | cut -c1-12; }

# The processor that dependencies are compiled for: this one, or with TRANCHE_PORTABLE=1, for packages, any
# of x86-64-v3 or newer.
deps_processor() {
    uname -m
    if [[ -n ${TRANCHE_PORTABLE:-} ]]; then
        cat "$root/tools/deps/portable.cmake"
    else
        grep -m 1 -E '^(flags|Features)' /proc/cpuinfo || true
    fi
}

# The folder of compiled dependencies: its name changes with anything that changes its content.
deps_dir() {
    local key
    key=$({
        pins source model
        cat "$root/tools/deps/CMakeLists.txt" "$root/tools/requantize.c"
        "${CC:-cc}" --version | head -n 1
        "${CXX:-c++}" --version | head -n 1
        deps_processor
    } | short_hash)
    printf '%s/deps%s-%s\n' "$cache" "${TRANCHE_PORTABLE:+-portable}" "$key"
}

# The folder of the llama-server that the tests run: of the same sources, compiler and CPU.
llama_server_dir() {
    local key
    key=$({
        basename "$(deps_dir)"
        cat "$root/tools/llama-server/CMakeLists.txt"
    } | short_hash)
    printf '%s/llama-server-%s\n' "$cache" "$key"
}

# The folder of the servers that the tests of a shared store run: an S3 server, and a proxy that breaks connections.
servers_dir() {
    printf '%s/servers-%s\n' "$cache" "$({
        cat "$root"/tools/servers/*/go.{mod,sum}
        uname -m
    } | short_hash)"
}

# The Python environment with the pinned tools.
python_dir() {
    printf '%s/python-%s\n' "$cache" "$({
        pins tool
        /usr/bin/env python3 --version
    } | short_hash)"
}

# client_packages USE: the folder with the package.json of its JavaScript packages.
client_packages() { [[ $1 == schema ]] && echo "$root/tests/schema" || echo "$root/tests/accept"; }

# client_dir USE: the environment with these clients.
client_dir() {
    printf '%s/clients-%s-%s\n' "$cache" "$1" "$({
        client_pins "$1"
        [[ $1 != schema ]] || client_pins suite
        [[ $1 != bigquery ]] || client_pins oracle
        [[ $1 != spark ]] || client_pins spark-source
        [[ $1 != browser ]] || pins axe
        cat "$(client_packages "$1")/package-lock.json"
        /usr/bin/env python3 --version
    } | short_hash)"
}
