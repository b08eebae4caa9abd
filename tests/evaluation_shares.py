"""A program for test_evaluation_devices.py: scores and searches on some virtual devices or in one of some processes.

python evaluation_shares.py OUT.npz DEVICES [PORT PROCESS PROCESSES]
"""

import os
import sys

OUT, DEVICES, *CLUSTER = sys.argv[1:]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES} --xla_backend_optimization_level=0"

import jax  # noqa: E402
import numpy as np  # noqa: E402

if CLUSTER:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    port, process, processes = map(int, CLUSTER)
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=processes, process_id=process)

from jhash import hamming, metrics  # noqa: E402

random = np.random.default_rng(0)
codes = np.where(random.random((157, 24)) < 0.5, -1, 1).astype(np.int8)
labels = (random.random((157, 7)) < 0.3).astype(np.uint8)
given = codes[:53], codes, labels[:53], labels
tasks = [
    metrics.Task("video"),
    metrics.Task("trec", "expected", precision_ranks=(9,)),
    metrics.Task("she", ndcg_ranks=(5,)),
]
found = {}
for task, scores in zip(
    tasks, metrics.evaluate_tasks(*given, tasks, self_rows=np.arange(53), pairs=157 * 16), strict=True
):
    found |= {f"{task.preset}/{name}": values for name, values in scores.values.items()}
words = hamming.lay_out(codes[:53]), hamming.lay_out(codes)
found["distances"], found["rows"] = hamming.top_k(*words, 24, 10, pairs=157 * 16)
found["device distances"], found["device rows"] = hamming._top_k_on_device(*words, 24, 10, 157 * 16)
found["offsets"], found["near"], found["near rows"] = hamming.within(*words, 24, 8, pairs=157 * 16)
found["devices"] = np.array([jax.local_device_count(), jax.process_count()])
np.savez(OUT, **found)
