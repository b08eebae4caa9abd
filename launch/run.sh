#!/usr/bin/env bash
# One experiment on this machine, in a virtual environment of its own. Usage: launch/run.sh CONFIG WORKDIR [flags]
# On a machine with a GPU: EXTRA=cuda12 launch/run.sh configs/dkph_fcvid.py runs/dkph --config.data.dir=/data/fcvid
set -euo pipefail
config=$1 workdir=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${VENV:-$root/.venv-run}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "$root${EXTRA:+[$EXTRA]}"
fi
# On a CPU: keep a step's freed memory for the next step; a step is about a seventh faster and holds up to half more.
if [ -z "${EXTRA:-}" ]; then
    export MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
fi
exec "$venv/bin/python" -m jhash.launch --config "$config" --workdir "$workdir" "$@"
