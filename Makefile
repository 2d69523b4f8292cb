# Everything sets itself up: the virtual environment, its packages, and restic.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RESTIC := .tools/restic.ready
DEMO_DIR ?= .demo
DEMO_CALLS ?= 300

.PHONY: help demo test lint format docs bench tools lock clean

help:
	@echo "make demo    a sample source with planted faults, everything run over it"
	@echo "make test    linters, types, and all tests"
	@echo "make lint    linters and types only"
	@echo "make docs    write the generated pages of docs/ anew"
	@echo "make bench   measure against bare restic"
	@echo "make lock    resolve the dependencies anew"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "voxkeep needs Python 3.11 or newer; name it with PYTHON=…" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(RESTIC): tools/restic.sh
	@sh tools/restic.sh .tools
	@touch $@

tools: $(READY) $(RESTIC)

demo: tools
	@$(BIN)/voxkeep demo --dir $(DEMO_DIR) --calls $(DEMO_CALLS)

test: lint tools
	@$(BIN)/pytest -n auto --maxprocesses 4

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY)
	@$(BIN)/python tools/write_docs.py

bench: tools
	@$(BIN)/python bench/day.py

lock:
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--group dev pyproject.toml --output-file requirements.lock

clean:
	@rm -rf $(VENV) .tools .demo .bench dist
