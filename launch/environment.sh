# Sourced by the other scripts: `root` is the checkout, `python` that of a virtual environment of its own, in which jhash
# is installed as the checkout has it. Made where it is missing or older than pyproject.toml, by one process at a time.
#   EXTRA=cuda12    also installs this extra: on a machine with a GPU, cuda12 or cuda13
#   VENV=FOLDER     where it is; default: .venv-run in the checkout
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${VENV:-$root/.venv-run}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
python=$venv/bin/python
made=$venv/made${EXTRA:+-$EXTRA}
if [ ! "$made" -nt "$root/pyproject.toml" ]; then
    mkdir -p "$venv"
    (
        ! command -v flock >/dev/null || flock 9
        if [ ! "$made" -nt "$root/pyproject.toml" ]; then
            [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
            "$python" -m pip install --quiet --editable "$root${EXTRA:+[$EXTRA]}"
            touch "$made"
        fi
    ) 9>"$venv/.lock"
fi
# On a CPU: keep a step's freed memory for the next step; a step is about a seventh faster and holds up to half more.
if [ -z "${EXTRA:-}" ]; then
    export MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
fi
