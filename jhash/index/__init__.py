"""A collection of binary codes on disk that grows, is searched, and forgets nothing.

The way of the data: `rows` (what a user may put in, as rows with a check each) → `table` (LanceDB, the one source of
truth) → `fast` (the codes memory-mapped, rebuilt from the table where they are damaged) → `search`, `approximate` →
`found`. `collection` puts them together.
"""

from jhash.index.collection import Added, Index
from jhash.index.found import Found, Stats

__all__ = ["Added", "Found", "Index", "Stats"]
