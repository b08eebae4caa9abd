"""python -m jhash.launch --config configs/mcmsh_nmnist.py --workdir runs/mcmsh [--plan] [--config.bits=32 ...]"""

import sys
import traceback
from pathlib import Path

from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "An experiment: a path, or the name of one of jhash's own.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written. Default: runs/<name of the config>.")
PLAN = flags.DEFINE_bool("plan", False, "Say what the run will need (files, memory, disk, minutes) and end.")
DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")


def main(argv: list[str]) -> int:
    if any(word in ("--help", "-h", "-help") for word in argv[1:]):
        print(__doc__ + flags.FLAGS.module_help(flags.FLAGS.find_module_defining_flag("config")))
        return 0
    from jhash.types import Ended

    try:
        name = read_flags(argv)
        from jhash import experiment, plan

        if PLAN.value:
            print("\n".join(plan.lines(CONFIG.value)))
        else:
            experiment.run(CONFIG.value, Path(WORKDIR.value or f"runs/{name}"))
        return 0
    except (Ended, OSError, KeyboardInterrupt) as error:
        if "--debug" in argv:
            traceback.print_exc()
        print(f"jhash: error: {sentence(error)}", file=sys.stderr)
        return getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)


def sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped at once; the same command goes on from the last checkpoint"
    return f"{error}; what was written before is kept" if isinstance(error, OSError) else str(error)


def read_flags(argv: list[str]) -> str:
    """Parses the command line; returns the config's name. Raises InputError with one sentence on what is wrong."""
    from jhash.types import InputError

    given, words, name = iter(argv), [], None
    for word in given:
        if word == "--config":
            word = f"--config={next(given, '')}"
        if word.startswith("--config="):
            path = find_config(word.removeprefix("--config="))
            word, name = f"--config={path}", path.stem
        words.append(word)
    words[1:] = sorted(words[1:], key=lambda word: not word.startswith("--config="))  # it reads the file before fields
    sys.argv[:] = words  # ml_collections looks there for --config.x=y
    try:
        rest = flags.FLAGS(words)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, SyntaxError) as error:
        said: object = error
        while isinstance(said, AttributeError | KeyError) and said.args:  # one in the other, each quoting what it holds
            said = said.args[0]
        bare = str(said).strip("'")  # of a field that is like no other, its name is all that is said
        unknown = [flag for word in words if bare in (flag := word.split("=")[0]).split(".")[1:]]
        if unknown:
            raise InputError(f"command line: {unknown[0]}: expected a field of the config, found {bare!r}") from error
        raise InputError(f"command line: {' '.join(str(said).replace(chr(34), '').split())}") from error
    if len(rest) > 1:
        raise InputError(f"command line: expected flags only, found {rest[1]!r}")
    if name is None:
        raise InputError("--config: expected an experiment (configs/<name>.py), found none; --help lists the flags")
    return name


def find_config(name: str) -> Path:
    """A config's path: as given, or among those packed with jhash. Raises InputError."""
    import jhash_configs

    from jhash.types import InputError

    packed = Path(jhash_configs.__path__[0])
    for path in (Path(name), packed / f"{Path(name).stem}.py"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in packed.glob("[a-z]*.py")))
    raise InputError(f"--config: expected a file, or one of {known}; found {name!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
