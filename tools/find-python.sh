#!/bin/sh
# Prints the Python to build the environment with: the newest one that our pinned packages have wheels for.
# PYTHON=/path/to/python3 overrides the choice.
set -eu

suitable='import sys; sys.exit(0 if sys.version_info >= (3, 11) else 1)'
complete='import ensurepip, ssl, venv'
incomplete=

for name in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3 python}; do
    command -v "$name" >/dev/null 2>&1 || continue
    "$name" -c "$suitable" 2>/dev/null || continue
    if "$name" -c "$complete" 2>/dev/null; then
        command -v "$name"
        exit 0
    fi
    incomplete=${incomplete:-$name}
done

if [ -n "${PYTHON:-}" ] && [ -z "$incomplete" ]; then
    echo "setup: PYTHON=$PYTHON is not a Python of version 3.11 or newer." >&2
elif [ -n "$incomplete" ]; then
    echo "setup: $incomplete lacks the standard modules ensurepip, ssl or venv, which this project needs." >&2
    echo "setup: install them (on Debian and Ubuntu: apt-get install python3-venv) and run again." >&2
else
    echo "setup: no Python of version 3.11 or newer was found; this project needs one." >&2
    echo "setup: install it (on Debian and Ubuntu: apt-get install python3 python3-venv) and run again," >&2
    echo "setup: or name one that is not on the PATH: make setup PYTHON=/path/to/python3" >&2
fi
exit 1
