"""How the commands of jhash end: with 0, or with one sentence on stderr and its exit code."""

import sys
from collections.abc import Callable

from jhash.types import Ended


def exit_code(work: Callable[[], None], stopped: str = "stopped") -> int:
    """Does a command's work: 0, 2 for wrong input, another `Ended`'s own code, 130 after Ctrl-C.

    Args:
        work: everything the command does and prints.
        stopped: what Ctrl-C leaves behind, or how to go on.
    """
    try:
        work()
    except Ended as error:
        print(f"jhash: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"jhash: error: {stopped}.", file=sys.stderr)
        return 130
    return 0
