"""The notebook for Colab: what its install cell asks of pip, and all of it in a kernel, on a small run trained here."""

import importlib.metadata
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import trained_runs
from IPython.core.inputtransformer2 import TransformerManager
from IPython.utils.text import DollarFormatter
from nbclient import NotebookClient

from jhash import evaluate

NOTEBOOK = Path(__file__).parent.parent / "launch" / "colab.ipynb"
TINY = """
from jhash.config import experiment


def get_config():
    config = experiment("lsh", "files", train={train!r}, split_array="fold", query_values=(4,))
    config.hyper.bits, config.baselines, config.run.tensorboard = 8, (), False
    return config
"""


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def run(folder, **settings):
    """Cell id -> what it printed and showed, of the whole notebook, run in an empty folder with these settings."""
    notebook, place = read(), folder / "notebook"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "jupyter"))
        for name, value in settings.items():
            patch.setenv(f"JHASH_{name}", str(value))
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(place)}}).execute()
    return {cell.id: said(cell) for cell in notebook.cells if cell.cell_type == "code"}


def said(cell):
    shown = [output.get("text") or output.get("data", {}).get("text/html", "") for output in cell.outputs]
    return "".join(shown)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """(folder, codes [60, 16] of a run in its folder 'clips')."""
    folder = tmp_path_factory.mktemp("clips")
    work, frames = trained_runs.clips(folder)
    return folder, evaluate.load_model(work).encode(frames)


@pytest.fixture(scope="module")
def ran(clips):
    folder, _ = clips
    return run(folder, WORKDIR=folder / "clips", ITEMS=f"{folder}/clips.npz:frames")


def test_it_is_a_notebook_without_outputs():
    notebook = read()
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert code[0].id == "parameters"


def test_its_parameters_stand_in_the_first_cell_alone():
    first, *others = [cell.source for cell in read().cells if cell.cell_type == "code"]
    for name in ("REPOSITORY", "CONFIG", "WORKDIR", "ITEMS", "MODALITY"):
        assert re.search(rf"^{name} = ", first, re.MULTILINE)
        assert not any(re.search(rf"^{name} = ", source, re.MULTILINE) for source in others)


@pytest.mark.parametrize("plugin,extras", [("cuda12", "cuda12,index"), ("cuda13", "cuda13,index"), (None, "index")])
def test_it_installs_the_extra_of_the_cuda_build_that_is_there(monkeypatch, plugin, extras):
    asked = installed(monkeypatch, {f"jax-{plugin}-plugin"})
    assert asked == [f'python -m pip install --quiet "jhash[{extras}] @ git+https://somewhere/jhash"']


def test_a_jhash_that_is_there_is_kept(monkeypatch):
    assert installed(monkeypatch, {"jhash", "jax-cuda12-plugin"}) == []


@pytest.mark.parametrize("left", [(), ("config.json",), ("config.json", "results.json")])
def test_training_that_was_interrupted_goes_on(tmp_path, monkeypatch, capsys, left):
    """results.json is written after each method and seed."""
    for name in left:
        (tmp_path / name).touch()
    asked = shell(monkeypatch, "train-code", CONFIG="mcmsh_jhmdb", WORKDIR=str(tmp_path))
    assert asked == [f"python -m jhash.launch --config mcmsh_jhmdb --workdir {tmp_path}"]
    assert "trained already" not in capsys.readouterr().out


def test_a_run_that_has_its_page_is_finished(tmp_path, monkeypatch, capsys):
    (tmp_path / "report.html").touch()
    assert shell(monkeypatch, "train-code", CONFIG="mcmsh_jhmdb", WORKDIR=str(tmp_path)) == []
    assert "trained already" in capsys.readouterr().out


def installed(monkeypatch, there):
    """The shell commands that the install cell gives, where these packages are there."""

    def version(package):
        if package not in there:
            raise importlib.metadata.PackageNotFoundError(package)
        return "0.7.2"

    monkeypatch.setattr(importlib.metadata, "version", version)
    return shell(monkeypatch, "install-code", REPOSITORY="git+https://somewhere/jhash", WORKDIR="runs/x")


def shell(monkeypatch, cell, **names):
    """The shell commands that a cell gives, in a notebook of these names."""
    monkeypatch.setattr(sys, "executable", "python")
    source = next(one.source for one in read().cells if one.id == cell)
    asked = []

    class Shell:
        def system(self, command):
            asked.append(DollarFormatter().vformat(command, [], names))  # as IPython fills in {names}

    names |= {"get_ipython": Shell, "sys": sys}
    exec(TransformerManager().transform_cell(source), names)
    return asked


def test_one_line_says_what_it_runs_on(ran):
    assert re.fullmatch(r"(CPU|GPU|TPU): .+, jax [\d.]+\w*, CUDA plugin \S+\n", ran["device"])


def test_a_run_that_is_there_is_not_trained_again(ran):
    assert ran["train-code"].endswith("trained already\n")


def test_the_run_is_restored(ran):
    assert ran["restore-code"].startswith("lsh: codes of 16 bits, ")


def test_all_items_are_encoded(ran):
    assert "codes (60, 16) of int8" in ran["encode-code"]


def test_an_item_of_the_index_finds_itself_first(ran):
    first = [
        re.match(r"(\d+) finds (\d+) \((\d+)\)", line) for line in ran["index-code"].splitlines() if " finds " in line
    ]
    assert [match.groups() for match in first] == [(str(row), str(row), "0") for row in range(5)]


def test_the_search_in_memory_is_of_the_codes_that_the_run_makes(ran, clips):
    _, codes = clips
    distances = (codes[:1] != codes).sum(axis=1)
    rows = np.argsort(distances, kind="stable")[:10]
    said = f"row 0 finds rows {rows.tolist()} at distances {distances[rows].tolist()}\n"
    assert ran["hamming-code"] == said


def test_a_chart_is_drawn_and_the_picture_of_the_run_is_shown(ran):
    assert "<svg" in ran["chart-code"] and "Distance of the items found" in ran["chart-code"]
    assert "<svg" in ran["results-code"] and "mAP@k" in ran["results-code"]


@pytest.mark.slow
def test_without_a_run_it_trains_one(clips, tmp_path):
    folder, _ = clips
    (tmp_path / "tiny.py").write_text(TINY.format(train=str(folder / "clips.npz")))
    work = tmp_path / "new run"
    ran = run(tmp_path, CONFIG=tmp_path / "tiny.py", WORKDIR=work, ITEMS=f"{folder}/clips.npz:frames")
    assert (work / "report.html").is_file()
    assert "codes (60, 8) of int8" in ran["encode-code"]
