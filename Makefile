# Two commands for a fresh clone: `make demo` (install, generate a clip) and `make test` (install, check everything).
# A bare machine needs Python 3.11 or newer with venv, and make. No GPU, no ffmpeg, no root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_PROMPT := a red circle moving left on a white background
PATHS := rufous tests examples scripts

# every pip call obeys the pins, and threads that wait must not burn the other core
export PIP_CONSTRAINT := $(CURDIR)/constraints-cpu.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OMP_WAIT_POLICY := passive

.PHONY: demo test lint format clean help

help:
	@echo "make demo    install into $(VENV) and generate out/demo.mp4"
	@echo "make test    install with the development tools, then lint, types, architecture and tests"
	@echo "make lint    ruff, pyright and codespell only"
	@echo "make format  rewrite the code in the house format"
	@echo "make clean   remove $(VENV), out and caches (runs are kept)"

demo: $(VENV)/installed
	$(BIN)/rufous generate "$(DEMO_PROMPT)" --output out/demo.mp4 --overwrite
	$(BIN)/python examples/contact_sheet.py out/demo.mp4 out/demo.png

test: lint
	$(BIN)/python -m pytest tests/test_architecture.py -q
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q -m "not slow" --ignore tests/test_architecture.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/ruff check $(PATHS)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/codespell $(PATHS) docs README.md CHANGELOG.md CONTRIBUTING.md

format: $(VENV)/installed-dev
	$(BIN)/ruff format $(PATHS)
	$(BIN)/ruff check --fix $(PATHS)

clean:
	rm -rf $(VENV) out build dist .ruff_cache .pytest_cache .hypothesis *.egg-info

# Stamp files: a second `make` installs nothing unless the requirements changed.
$(VENV)/installed: pyproject.toml constraints-cpu.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints-cpu.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is missing: install Python 3.11 or newer, for example 'apt install python3 python3-venv', or run 'make PYTHON=/path/to/python'"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1): Python 3.11 or newer is needed; run 'make PYTHON=/path/to/python3.11'"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module: on Debian and Ubuntu, 'apt install python3-venv'"; exit 1; }
	$(PYTHON) -m venv $(VENV)
