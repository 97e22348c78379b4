#!/bin/sh
# Makes sure that the named commands are there: `system-packages.sh strace wrk`.
# As root on a machine with apt it installs what is missing; otherwise it says what to install.
set -eu

missing=
for name in "$@"; do
    command -v "$name" >/dev/null 2>&1 || missing="$missing $name"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing from the system's packages:$missing"
    log=$(mktemp)
    # The names of the commands are the names of their Debian packages.
    # shellcheck disable=SC2086
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "setup: apt-get could not install:$missing (its last lines are above)" >&2
    exit 1
fi
echo "setup: these commands are needed and missing:$missing" >&2
echo "setup: install them (on Debian and Ubuntu, as root: apt-get install$missing) and run again." >&2
exit 1
