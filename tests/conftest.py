"""Four virtual devices, quick compilation, and nothing implicit: what a test doesn't say in shapes raises."""

import atexit
import os
import shutil
import tempfile

# a test runs a program once or twice: most of its time would be the compiler's
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false",  # the older ones compile DKPH in half the time
        "--xla_cpu_parallel_codegen_split_count=1",  # a worker has a core
        os.environ.get("XLA_FLAGS", ""),
    ]
)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # of this run alone: its workers and their children find it set
    compiled = tempfile.mkdtemp(prefix="jhash-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)

import jax

from jhash.pages import embedding

jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS") or "cpu")  # cuda,cpu for the marker gpu
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
embedding.ROUNDS = 250  # scikit-learn's fewest: every run in a test draws a plane of codes that few tests look at

LONGEST = ("train", "reproduce_runs", "dkph", "streaming", "pair_experiments", "experiment", "mcmsh", "cmgcah")


def pytest_collection_modifyitems(items):
    """Files that take longest come first: begun last, one keeps a worker busy while the other has nothing left."""
    first = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path.name, len(first)))
