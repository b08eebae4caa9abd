"""The directions of imports between the rooms, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "jhash"

# room -> the rooms it may import; everybody may import `types`
ALLOWED = {
    "types": set(),
    "codes": set(),
    "features": set(),
    "structure": set(),
    "intervals": set(),
    "workdir": set(),
    "journal": set(),
    "checkpoint": set(),
    "parallel": set(),
    "encoders": {"codes"},
    "losses": {"codes", "structure"},
    "weights": {"command", "encoders"},
    "fields": set(),
    "methods": {"codes", "fields", "features", "structure", "encoders", "losses", "weights"},
    "data": {"features"},
    "steps": {"parallel"},
    "train": {"parallel", "checkpoint", "steps"},
    "scan": {"parallel", "methods", "steps", "train"},
    "nearest": set(),
    "hamming": {"nearest", "parallel"},
    "measures": set(),
    "ranking": {"hamming", "parallel"},
    "metrics": {"hamming", "measures", "parallel", "ranking"},
    "config": {"data", "methods"},
    "curves": {"metrics"},
    "given": {"command", "curves", "data", "measures", "metrics", "pages", "report", "workdir"},
    "evaluate": {"metrics", "config", "data", "given", "train", "steps", "parallel"},
    "report": {"metrics", "intervals"},
    "pages": {"config", "curves", "data", "features", "hamming", "intervals", "measures", "report", "workdir"},
    "library": {"workdir"},
    "validation": {"evaluate", "data", "steps", "parallel"},
    "plan": {"config", "data", "library", "train", "steps", "parallel"},
    "experiment": {
        *(
            "config",
            "cost",
            "curves",
            "data",
            "evaluate",
            "journal",
            "library",
            "metrics",
            "parallel",
            "pages",
            "report",
            "scan",
            "train",
            "validation",
            "workdir",
        ),
    },
    "launch": {"experiment", "plan"},
    "command": set(),
    "cost": {"data", "evaluate"},
    "complexity": {"command", "checkpoint", "config", "cost", "data", "evaluate", "launch"},
    "compare_folders": {"data", "report"},
    "compared": {"compare_folders", "intervals", "report"},
    "compare_settings": {"compared", "pages", "workdir"},
    "compare_page": {"compare_folders", "compare_settings", "compared", "curves", "data", "pages"},
    "compare": {"command", "compare_folders", "compare_page", "compare_settings", "compared", "pages"},
    "extract": {"command", "data", "weights"},
    "trained": {"checkpoint", "data", "evaluate"},
    "code_file": {"workdir"},
    "index": {"command", "hamming", "data", "trained", "workdir"},
    "encode": {"command", "code_file", "data", "index", "trained"},
    "search": {"command", "data", "index", "trained"},
    "reproduce": {
        *("checkpoint", "complexity", "config", "cost", "curves", "data", "evaluate", "experiment", "intervals"),
        *("measures", "methods", "pages", "report", "workdir"),
    },
}
# only these rooms may import these packages
ONLY = {
    "orbax": {"checkpoint"},
    "tensorflow_datasets": {"data"},
    "absl": {"launch"},
    "tensorflow": set(),
    "PIL": {"data", "pages"},
    "sklearn": {"pages"},
    "av": {"data"},
    "lancedb": {"index"},
    "pyarrow": {"index"},
    "faiss": {"index"},
}
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_before_it(path):
    if path.name == "__init__.py" and path.parent == ROOT:
        return
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("jhash.")}
    assert rooms - {"types", room(path)} <= ALLOWED[room(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_package_stays_in_its_room(path):
    for name in imports(path):
        package = name.split(".")[0]
        assert package not in ONLY or room(path) in ONLY[package], f"{path.name} imports {package}"


@pytest.mark.parametrize("name", ["steps.py", "train.py", "evaluate.py", "experiment.py", "validation.py", "plan.py"])
def test_the_loop_names_no_method(name):
    methods = {path.stem for path in (ROOT / "methods").glob("[a-z]*.py")}
    words = {node.value for node in ast.walk(ast.parse((ROOT / name).read_text())) if isinstance(node, ast.Constant)}
    assert not methods & {word for word in words if isinstance(word, str)}


def test_every_package_is_in_the_wheel():
    import tomllib

    listed = set(tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {".".join(path.parent.relative_to(ROOT.parent).parts) for path in ROOT.rglob("__init__.py")}
    assert listed == found | {"jhash_configs"}
    assert {path.parent for path in FILES} == {path.parent for path in ROOT.rglob("__init__.py")}


def test_importing_jhash_imports_nothing_else():
    heavy = "[m for m in ('jax', 'numpy', 'flax', 'tensorflow') if m in sys.modules]"
    out = subprocess.run(
        [sys.executable, "-c", f"import sys, jhash; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_no_room_brings_tensorflow():
    code = "import sys, jhash.experiment, jhash.plan, jhash.data.convert; print('tensorflow' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
