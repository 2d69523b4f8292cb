# Everything sets itself up: the virtual environment, its packages, and restic.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RESTIC := .tools/restic.ready
DEMO_DIR ?= .demo
DEMO_CALLS ?= 300

SERVERS := .tools/servers.ready
CLUSTER_DIR ?= .cluster

# Images of Python for containers often forbid it; without it each of the many processes compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-long mutants lint format docs bench bench-engine bench-listen bench-latency bench-capacity tools servers cluster cluster-stop lock clean

help:
	@echo "make demo    a sample source with planted faults, everything run over it"
	@echo "make test    linters, types, and all tests"
	@echo "make test-long  what takes longer, too"
	@echo "make mutants errors made in the engine, to see whether its tests catch them"
	@echo "make lint    linters and types only"
	@echo "make cluster MinIO, Elasticsearch, databases, Prefect and its workers on this machine (make cluster-stop ends them)"
	@echo "make docs    write the generated pages of docs/ anew"
	@echo "make bench-engine  the engine against DuckDB, plain joins in Polars, and datacompy; the command compare"
	@echo "make bench-listen  searching a million calls and hearing them, sixteen users at a time"
	@echo "make bench-latency  from a call's end until it can be heard, over the servers of make cluster, five calls a second"
	@echo "make bench-capacity  what a recording costs in bytes and CPU, for docs/capacity.md"
	@echo "make bench   measure against bare restic, s5cmd, bulk requests and the databases' own tools"
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

$(SERVERS): tools/debian.sh tools/canaille.sh tools/go.sh tools/minio.sh tools/toxiproxy.sh tools/elasticsearch.sh
	@sh tools/minio.sh .tools
	@sh tools/toxiproxy.sh .tools
	@sh tools/elasticsearch.sh .tools
	@sh tools/debian.sh postgres postgresql
	@sh tools/canaille.sh .tools
	@sh tools/debian.sh chromium chromium fonts-noto-cjk
	@sh tools/debian.sh mariadbd mariadb-server-core mariadb-client-core
	@sh tools/debian.sh sshd openssh-server openssh-client
	@sh tools/debian.sh promtool prometheus
	@touch $@

tools: $(READY) $(RESTIC)

servers: tools $(SERVERS)

cluster: servers
	@$(BIN)/python -m deploy.cluster start $(CLUSTER_DIR)

cluster-stop: $(READY)
	@$(BIN)/python -m deploy.cluster stop $(CLUSTER_DIR)

demo: tools
	@$(BIN)/voxkeep demo --dir $(DEMO_DIR) --calls $(DEMO_CALLS)

test: lint tools
	@$(MAKE) --no-print-directory servers || echo "not every server can be had here: the tests that need one are skipped, and say so"
	@$(BIN)/pytest -n auto --maxprocesses 4

test-long: lint servers
	@$(BIN)/pytest -n auto --maxprocesses 4 -m ""

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

mutants: $(READY)
	@$(BIN)/python tests/mutants.py

# The engine's peers, in an environment of their own: datacompy wants another Polars.
.tools/bench/ready: $(READY)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .tools/bench
	@$(BIN)/uv pip install --quiet --python .tools/bench/bin/python duckdb==2.0.0 datacompy==1.1.0
	@touch $@

bench-engine: .tools/bench/ready
	@$(BIN)/python bench/engine.py
	@$(BIN)/python bench/compare.py

bench-listen: servers
	@$(BIN)/python bench/listening.py

bench-latency: servers
	@$(BIN)/python -m bench.latency

bench: servers
	@sh tools/s5cmd.sh .tools
	@for one in day publish indexing extract growth; do $(BIN)/python bench/$$one.py || exit 1; done

bench-capacity: tools
	@$(BIN)/python bench/capacity.py --write

lock:
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--group dev pyproject.toml --output-file requirements.lock

clean:
	@rm -rf $(VENV) .tools .demo .bench dist
