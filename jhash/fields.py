"""What the fields of a method may be. A refusal names the field as the command line does, what is expected, what found.

None, which stands for a default, passes, and so does what JAX traces: rates that differ within one program.
"""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from jhash.types import InputError


def check_choices(method: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Raises InputError where a field is none of its choices."""
    for name, allowed in choices.items():
        if getattr(method, name) not in allowed:
            raise InputError(
                f"config.hyper.{name}: expected one of {', '.join(allowed)}, found {getattr(method, name)!r}"
            )


def check_counts(method: Any, *names: str, least: int = 1) -> None:
    """Raises InputError where a field is no whole number from `least` up."""
    expected = f"a whole number, at least {least}"
    _check(method, names, expected, lambda value: isinstance(value, numbers.Integral) and value >= least)


def check_numbers(method: Any, *names: str, least: float = 0.0, below: float = math.inf) -> None:
    """Raises InputError where a field is no finite number from `least` up, `below` excluded."""
    expected = f"a number, at least {least:g}" + ("" if below == math.inf else f" and below {below:g}")
    _check(method, names, expected, lambda value: isinstance(value, numbers.Real) and least <= value < below)


def check_rates(method: Any, *names: str) -> None:
    """Raises InputError where a field is no finite number above 0."""
    _check(method, names, "a number above 0", lambda value: isinstance(value, numbers.Real) and 0 < value < math.inf)


def _check(method: Any, names: Sequence[str], expected: str, fits: Callable[[Any], bool]) -> None:
    for name in names:
        value = getattr(method, name)
        if not (value is None or isinstance(value, jax.Array) or fits(value)):
            raise InputError(f"config.hyper.{name}: expected {expected}, found {value!r}")
