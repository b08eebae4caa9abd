#!/usr/bin/env bash
# Inside a SLURM job: runs a command as the job's step, which is what --signal=INT reaches. A command that a SIGINT ended
# has put its state on disk and says 130: the job is queued again, to go on from there.
set -euo pipefail
code=0
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" "$@" || code=$?
if [ "$code" -eq 130 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
