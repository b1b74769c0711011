# Shared by the scripts beside it, which source it. Holds what every service needs: installing packages,
# finding a port, waiting for a condition, ending a process.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# wait_for SECONDS COMMAND…: runs COMMAND until it succeeds; fails when the time is over.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# accepts PORT: something listens on this port of the loopback address.
accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints a port nobody listens on. It lies below the range from which the kernel takes the ports of outgoing
# connections: otherwise a client could be given the port of a node that a test has stopped for a moment.
free_port() {
    local port
    while :; do
        port=$((RANDOM % 12000 + 20000))
        accepts "$port" || break
    done
    printf '%s\n' "$port"
}

# alive PID: the process exists and is not merely waiting to be reaped.
alive() {
    local stat
    # From /proc, as a small image has no ps. The state comes after the name, which may hold anything.
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != Z* ]]
}

gone() { ! alive "$1"; }

# end PID [SECONDS]: asks the process to end and insists when the time is over.
end() {
    alive "$1" || return 0
    kill -TERM "$1" 2>/dev/null || true
    wait_for "${2:-30}" gone "$1" && return 0
    say "process $1 did not end when asked to; it is killed"
    kill -KILL "$1" 2>/dev/null || true
    wait_for 10 gone "$1"
}

# apt_install_for COMMAND…: installs the Debian packages of the same names whose commands are not there.
apt_install_for() {
    local command missing=()
    for command in "$@"; do command -v "$command" >/dev/null || missing+=("$command"); done
    if ((${#missing[@]} > 0)); then apt_install "${missing[@]}"; fi
}

# apt_install PACKAGE…: installs Debian packages, or says which are missing and fails.
apt_install() {
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        say "missing: $*. As root on Debian: apt-get install --no-install-recommends $*"
        return 1
    fi
    say "installing $*"
    # A package that brings a service also starts it, which would leave a broker running on the machine that
    # nobody asked for. The policy file is Debian's way to forbid that; one that is there already is respected.
    local policy=/usr/sbin/policy-rc.d log status=0
    log=$(mktemp)
    if [[ -e $policy ]]; then policy=; else
        # shellcheck disable=SC2064  # the path of now is meant
        trap "rm -f '$policy'" EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    {
        apt-get update --quiet &&
            DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
                -o DPkg::Lock::Timeout=120 "$@"
    } >"$log" 2>&1 </dev/null || status=$?
    if [[ -n $policy ]]; then
        rm -f "$policy"
        trap - EXIT
    fi
    if ((status != 0)); then
        say "apt-get could not install $*:"
        tail -n 20 "$log" >&2
    fi
    rm -f "$log"
    return "$status"
}

# Debian splits off what makes environments; without it `python3 -m venv` fails half way.
python_ready() { python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# python_environment NAME REQUIREMENTS: makes a Python environment with exactly these packages where it is absent, in the user's
# cache, and prints its path.
python_environment() {
    python_ready || apt_install python3 python3-venv || return
    python_ready || die "$1 needs Python 3.11 or newer; this is $(python3 --version)"

    # The name changes with what is in it, so that a new version never meets an old environment.
    local name=$1 requirements=$2 cache key venv
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/onward-tests
    key=$({ python3 --version && cat "$requirements"; } | sha256sum | cut -c 1-12)
    venv=$cache/$name-$key
    mkdir -p "$cache"
    # Two test runs may start at once. The marker says that the environment is whole.
    exec 9>"$cache/$name.lock"
    flock 9
    if [[ ! -e $venv/complete ]]; then
        say "making the Python environment for $name"
        rm -rf "$venv"
        # in a substitution nothing ends by itself where a command fails, and half an environment must not look whole
        python3 -m venv "$venv" >&2 || return
        "$venv/bin/pip" --quiet --disable-pip-version-check --no-input install --requirement "$requirements" >&2 || return
        touch "$venv/complete"
    fi
    flock --unlock 9
    printf '%s\n' "$venv"
}

# node_environment NAME FOLDER: installs the npm packages of this folder's lock file where they are absent, in the user's cache,
# and prints the path of node_modules.
node_environment() {
    command -v npm >/dev/null || {
        say "npm is missing: install Node 20 with npm"
        return 1
    }
    local name=$1 folder=$2 cache key modules
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/onward-tests
    key=$({ node --version && cat "$folder/package-lock.json"; } | sha256sum | cut -c 1-12)
    modules=$cache/$name-$key
    mkdir -p "$cache"
    # as for Python: two runs at once, and a marker that says that it is whole
    exec 9>"$cache/$name.lock"
    flock 9
    if [[ ! -e $modules/complete ]]; then
        say "installing the npm packages for $name"
        rm -rf "$modules"
        mkdir "$modules" && cp "$folder/package.json" "$folder/package-lock.json" "$modules" || return
        (cd "$modules" && npm ci --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 || return
        touch "$modules/complete"
    fi
    flock --unlock 9
    printf '%s\n' "$modules/node_modules"
}
