"""Four virtual devices, and nothing implicit: what a test doesn't say in shapes raises."""

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
