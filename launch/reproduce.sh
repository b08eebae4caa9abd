#!/usr/bin/env bash
# A table of a paper on a SLURM cluster: a job a run, one GPU each, and behind them a job that writes the page.
#   launch/reproduce.sh --paper dkph --table 2 --seeds 5 --workdir /scratch/me/reproduce
# The flags are those of python -m jhash.reproduce. The virtual environment is made here, before any job starts:
# EXTRA and VENV as in environment.sh, EXTRA=cuda12 by default. What else sbatch is to know, it reads from SBATCH_ACCOUNT,
# SBATCH_PARTITION, SBATCH_TIMELIMIT, ...; ARRAY_LIMIT=8 lets eight runs go on at a time. The same command again computes
# what is missing.
set -euo pipefail
export EXTRA=${EXTRA-cuda12}
# shellcheck source=launch/environment.sh
. "$(dirname "$0")/environment.sh"
runs=$(JAX_PLATFORMS=cpu "$python" -m jhash.reproduce "$@" --count)
if ! [[ $runs =~ ^(0|[1-9][0-9]*)$ ]]; then
    echo "launch/reproduce.sh: --count: expected a number of runs, found '$runs'" >&2
    exit 2
fi
submit() {
    sbatch --parsable "$@" | cut -d ';' -f 1 # behind the semicolon there may be a cluster's name
}
job=("$root/launch/reproduce.sbatch" "$root/launch/requeued.sh" "$python" -m jhash.reproduce "$@")
if [ "$runs" -eq 0 ]; then
    echo "no runs; the page: job $(submit "${job[@]}")"
    exit
fi
array=$(submit --array="0-$((runs - 1))${ARRAY_LIMIT:+%$ARRAY_LIMIT}" "${job[@]}")
page=$(submit --dependency="afterany:$array" "${job[@]}")
echo "$runs runs: job $array; the page: job $page, when they have ended"
