#!/bin/sh
# Runs a door of Ruse in the image: `entrypoint.sh service serve`.
#
# numba keeps machine code only in a folder it can write to, and the image may be read-only. So the
# code that the image was built with is copied to memory first. It is keyed by CPU: on another one
# than the build's, numba compiles anew (half a minute) and keeps that beside it. A folder named by
# NUMBA_CACHE_DIR, such as a volume, keeps it for the next start too.
set -eu
built=$(dirname "$(dirname "$(command -v "$0")")")/kernels

if [ -z "${NUMBA_CACHE_DIR:-}" ]; then
    for place in "${TMPDIR:-/tmp}" /dev/shm; do
        if NUMBA_CACHE_DIR=$(mktemp -d "$place/ruse-kernels.XXXXXX" 2>/dev/null); then break; fi
    done
    if [ -z "$NUMBA_CACHE_DIR" ]; then
        echo "entrypoint.sh: neither /tmp nor /dev/shm can be written to;" \
            "mount a tmpfs at /tmp or name a writable folder by NUMBA_CACHE_DIR" >&2
        exit 1
    fi
    export NUMBA_CACHE_DIR
fi
mkdir -p "$NUMBA_CACHE_DIR"
for folder in "$built"/*; do
    [ -e "$NUMBA_CACHE_DIR/${folder##*/}" ] || cp -R "$folder" "$NUMBA_CACHE_DIR/"
done
exec python -m "$@"
