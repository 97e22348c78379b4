# Everything a person or a machine does with this project, by name. `make` alone lists it.
# Settings: VENV=folder  PYTHON=interpreter to build it with  ARGS="more arguments for the command"
# From another directory: make -C path/to/project serve

VENV ?= .venv
BIN = $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))/bin
PY = $(BIN)/python
CODE := $(wildcard app migrations tests bench examples tools)
SUITES := unit architecture simulation postgres contract integration mesh fuzz faults
# Their tests share nothing but the server, so they run beside each other; the rest use every core by themselves.
SHARED := unit postgres contract integration faults

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup setup-run setup-dev serve test check fix format lint types layers \
  $(addprefix test-,$(SUITES)) test-postgres-17 docs lock bench soak simulate mesh example postgres

# $(call phase,NAME): a headline, so that a reader of a long log finds the phase that failed.
phase = @printf '\n==> %s\n' '$(1)'
workers = $(if $(filter $(1),$(SHARED)),-n auto --maxprocesses=4 --dist=worksteal)
# $(call suite,FOLDER): its tests.
suite = @$(PY) -m pytest -q -m 'not soak' $(call workers,$(1)) $(ARGS) 'tests/$(1)'

help:  ## list what can be done here
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: setup-dev  ## make .venv for running and testing (the other commands do it when needed)

setup-run setup-dev: setup-%:
	@python=$$(sh tools/find-python.sh) && "$$python" tools/setup.py $* '$(VENV)'

serve: setup-run  ## run a node on SQLite at http://127.0.0.1:9077, data in ./data
	@mkdir -p data
	$(BIN)/ai-memory --config examples/serve/config.toml --db data/ai-memory.db serve --host 127.0.0.1 --port 9077 $(ARGS)

test: check  ## everything: format, lint, types, layers, every suite (about 20 minutes)
	@PATH="$$PATH:/usr/sbin" sh tools/system-packages.sh strace pgbouncer
	@$(MAKE) --no-print-directory $(addprefix test-,$(filter-out unit,$(SUITES)))
	$(call phase,all passed)

check: setup-dev format lint types layers test-unit  ## the fast half: format, lint, types, layers, unit tests

format:
	$(call phase,format)
	@$(PY) -m ruff format --check $(CODE)

lint:
	$(call phase,lint)
	@$(PY) -m ruff check $(CODE)

types:
	$(call phase,types)
	@$(PY) -m mypy $(CODE)

layers:
	$(call phase,layers)
	@$(BIN)/lint-imports

$(addprefix test-,$(SUITES)): test-%:
	$(call phase,tests: $*)
	$(call suite,$*)

fix: setup-dev  ## format the code and repair what the linter can
	@$(PY) -m ruff check --fix-only --exit-zero $(CODE)
	@$(PY) -m ruff format $(CODE)

docs: setup-dev  ## write the generated pages anew: docs/CONFIG_SCHEMA.md
	@$(PY) -m tests.architecture.generated

bench: setup-dev  ## measure, and write the table of docs/PERFORMANCE.md (ARGS="--only NAME")
	@sh tools/system-packages.sh wrk
	@$(PY) -m bench $(ARGS)

# A ten-minute run is no hang: the stacks of a hung test are printed after half an hour here.
soak: setup-dev  ## the long runs: more kills, more seeds, nodes on one server, the older PostgreSQL (an hour)
	@PATH="$$PATH:/usr/sbin" sh tools/system-packages.sh strace pgbouncer
	$(call phase,long runs: a line a test and a line a phase)
	@$(PY) -m pytest -v --no-header -m soak -o faulthandler_timeout=1800 $(ARGS) tests
	@$(MAKE) --no-print-directory test-postgres-17 ARGS=
	$(call phase,all soaked)

test-postgres-17: export AI_MEMORY_TEST_POSTGRES_MAJOR = 17
test-postgres-17: setup-dev  ## the store's contract on PostgreSQL 17, AGE 1.5 and pgvector 0.8.0
	$(call phase,tests: postgres and contract on PostgreSQL 17)
	@$(PY) -m pytest -q -m 'not soak' $(call workers,postgres) $(ARGS) tests/postgres tests/contract

simulate: setup-dev  ## lives of a mesh on virtual time, each from a seed (ARGS="--seeds 100000 --first N")
	@$(PY) -m tests.simulation $(or $(ARGS),--seeds 100000)

mesh: setup-run  ## four nodes with TLS, twenty agents, one crash: see them become equal again
	@$(PY) examples/mesh/run.py $(ARGS)

example: setup-run  ## store the standard library in a running `make serve`, ask twenty questions
	@$(PY) examples/stdlib/run.py $(ARGS)

postgres: setup-dev  ## run a PostgreSQL 18 with pgvector and AGE for development, until interrupted
	@$(PY) -m tools.postgres

# Needs uv (`pip install uv` anywhere); no address of a package index goes into the files.
UV ?= uv
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
  --python-version 3.11 --custom-compile-command 'make lock' pyproject.toml
lock:  ## pin the dependencies anew after pyproject.toml changed (ARGS=--upgrade for newer versions)
	$(COMPILE) $(ARGS) --extra embeddings --group build --output-file requirements.lock
	$(COMPILE) $(ARGS) --all-extras --group build --group dev --constraints requirements.lock --output-file requirements-dev.lock
