PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: demo test lint wheel clean

# Trains MCMSH and DKPH on real motion capture from video and scores them beside ITQ, LSH and cosine similarity.
demo: $(VENV)/ready
	$(BIN)/python -m jhash.launch --config configs/mcmsh_jhmdb.py --workdir runs/demo/mcmsh_jhmdb
	$(BIN)/python -m jhash.launch --config configs/dkph_jhmdb.py --workdir runs/demo/dkph_jhmdb

test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -q -m "not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder --durations=25

lint: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

wheel: $(VENV)/ready-dev
	$(BIN)/python -m build --wheel --outdir dist .

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'jhash needs Python 3.11 or newer'"
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install $(PIP_FLAGS) -e .
	touch $@

$(VENV)/ready-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install $(PIP_FLAGS) -e '.[dev]'
	touch $@ $(VENV)/ready

clean:
	rm -rf $(VENV) build dist *.egg-info runs
