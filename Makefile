# Everything a person or a CI machine types. Needs Python 3.11 or newer, make and a package index.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

BIN := .venv/bin
MADE := .venv/.made
RUN := .venv/.installed
DEV := .venv/.installed-dev
BENCH := .venv/.installed-bench
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header --extra sandbox

.PHONY: help demo up demo-compose test simulate mutants chaos bench-peers bench-http lint format contracts lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  Options go through ARGS: make demo ARGS="--repeat 20 --json"'

demo: $(RUN) ## play a trading day through all services and prove that nothing was lost
	@$(BIN)/orderflow demo $(ARGS)

up: $(RUN) ## keep the whole system running; prints addresses and a token
	@$(BIN)/orderflow up $(ARGS)

demo-compose: $(RUN) ## the same demo against containers (needs Docker)
	@ORDERFLOW=$(BIN)/orderflow deploy/compose/demo $(ARGS)

test: $(DEV) ## all tests, four files at a time: they mostly wait; make test ARGS=tests/unit runs some
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(or $(ARGS),tests)

simulate: SEEDS ?= 1..10000
simulate: $(DEV) ## all services in one process under seeded faults: SEEDS=1..10000, about an hour
	@$(BIN)/orderflow simulate --seeds $(SEEDS) $(ARGS)

mutants: $(DEV) ## plant each classic mistake in turn, its test must go red; make mutants ARGS=tail-lost runs one
	@$(BIN)/python -m tests.mutants $(ARGS)

bench-peers: $(BENCH) ## measure against peers, about 12 minutes; make bench-peers ARGS='append --quick' runs some
	@$(BIN)/python -m benchmarks $(ARGS)

bench-http: $(DEV) ## cart commands beside everything else, a large catalogue, a long cart: about 3 minutes
	@$(BIN)/python -m benchmarks cart_commands catalogue $(ARGS)

chaos: MINUTES ?= 2
chaos: $(DEV) ## the whole platform under load and kills for MINUTES=2; SEED=S repeats a run's faults
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(DEV) ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(DEV) ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

contracts: $(DEV) ## write docs/contracts/ from the events, docs/problems.md from the routes
	@$(BIN)/python -m shared.events.contracts
	@$(BIN)/python -m cli.problems

lock: ## write the lock files from pyproject.toml (needs uv); ARGS=--upgrade takes newer versions
	@command -v uv >/dev/null || { echo 'make lock needs uv on PATH.' >&2; exit 1; }
	$(COMPILE) --group build --output-file requirements.lock $(ARGS)
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock $(ARGS)
	$(COMPILE) --group bench --constraint requirements-dev.lock --output-file requirements-bench.lock $(ARGS)

clean: ## remove the environment, local data and caches
	rm -rf .venv .orderflow build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

$(MADE):
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  "$$python" -m venv --clear .venv && touch $@ && exit 0; exit 1; \
	done; \
	echo 'orderflow needs Python 3.11 or newer with venv; found none (make PYTHON=/path/to/python names one).' >&2; exit 1

$(RUN): requirements.lock pyproject.toml | $(MADE)
	@echo 'Installing into .venv: once, about a minute.' >&2
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUN)
	@echo 'Installing what tests and lint need.' >&2
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

$(BENCH): requirements-bench.lock $(DEV)
	@echo 'Installing the peers that benchmarks measure against.' >&2
	@$(PIP) --require-hashes -r requirements-bench.lock
	@touch $@
