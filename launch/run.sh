#!/usr/bin/env bash
# One experiment on this machine, in a virtual environment of its own. Usage: launch/run.sh CONFIG WORKDIR [flags]
# On a machine with a GPU: EXTRA=cuda12 launch/run.sh configs/dkph_fcvid.py runs/dkph --config.data.dir=/data/fcvid
set -euo pipefail
config=$1 workdir=$2
shift 2
# shellcheck source=launch/environment.sh
. "$(dirname "$0")/environment.sh"
exec "$python" -m jhash.launch --config "$config" --workdir "$workdir" "$@"
