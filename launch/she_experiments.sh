#!/usr/bin/env bash
# SHE's experiments beside the main table, each in a folder of its own. Usage: launch/she_experiments.sh CONFIG WORKDIR [flags]
#   launch/she_experiments.sh configs/she_digits.py runs/she_digits
# Order of media (Table 7), code length (Fig 6), σ (Fig 4), P and the weights α and β (Fig 3), ablations (Table 5).
set -euo pipefail
config=$1 workdir=$2
shift 2
common=("$@")
run() {
    local name=$1
    shift
    python -m jhash.launch --config "$config" --workdir "$workdir/$name" "$@" "${common[@]}"
}
media=$(python -c "
import importlib.util, sys
spec = importlib.util.spec_from_file_location('config', sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(*module.get_config().modalities)" "$config")
for first in $media; do
    order="'$first'"
    for other in $media; do [ "$other" = "$first" ] || order="$order,'$other'"; done
    run "first-$first" "--config.modalities=($order,)"
done
for bits in 16 32 64 128 256 512 1024; do run "bits-$bits" --config.hyper.bits="$bits"; done
for sigma in 0.5 0.6 0.7 0.8 0.9 0.95 1.0; do run "sigma-$sigma" --config.hyper.sigma="$sigma"; done
for prototypes in 3 5 7 9; do run "prototypes-$prototypes" --config.hyper.prototypes="$prototypes"; done
run prototypes-1 --config.hyper.prototypes=1 --config.hyper.losses=released
for weight in 0 1 2 4 6 8 10; do
    run "alpha-$weight" --config.hyper.separation="$weight" --config.hyper.transfer="$weight"
    run "beta-$weight" --config.hyper.discrimination="$weight"
done
for term in mining separation transfer discrimination; do run "without-$term" --config.hyper.$term=0; done
