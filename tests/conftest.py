"""Four virtual devices, quick compilation, and nothing implicit: what a test doesn't say in shapes raises."""

import os

# a test runs a program once or twice: most of its time would be the compiler's optimisations
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 " + os.environ.get("XLA_FLAGS", "")

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
