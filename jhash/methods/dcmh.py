"""DCMH-style hashing: CMGCAH without generation and alignment, its ablation a (Ou et al. 2022, Table IV).

After Jiang and Li 2017, "Deep cross-modal hashing": a network a medium, the likelihood of pairs against all training
items, quantisation to B = sgn(U + V). Theirs has a loss of bit balance, none within a medium, quantisation weighed like
the likelihood, and SGD. A baseline beside CMGCAH and DSMHN.
"""

import dataclasses

from jhash.methods import cmgcah


@dataclasses.dataclass(frozen=True)
class Method(cmgcah.Method):
    """Fields as in CMGCAH."""

    ablation: str = "a"
    position: float = 0.0  # DCMH has no transformer
