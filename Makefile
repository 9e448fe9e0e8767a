# The menu. Each target is a line or two; the logic is in vcpu_ladder/.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/vcpu-ladder
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

# Knobs of the harness: make stage-v2 MEASURE=10s. Given on the command line, they reach the command.
export MEASURE WARMUP REPEATS USERS STAGES SCALE ENVIRONMENT FULL SERVICE_PORT UPSTREAM_PORT K6_API_PORT POSTGRES_PORT

.PHONY: help
help: ## Show this menu
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20
	@echo; echo 'Variables: MEASURE=30s WARMUP=15s REPEATS=3 USERS=200 STAGES=v1,v2 SCALE=0.01 SERVICE_PORT=8000 PYTHON=python3.13'

.PHONY: setup
setup: $(VENV)/.installed ## Create the virtual environment with everything a climb needs
$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'error: $(PYTHON) is older than 3.11; next: make $(MAKECMDGOALS) PYTHON=python3.11' >&2; exit 3; }
	@$(PYTHON) -m venv $(VENV) || { echo 'error: $(PYTHON) cannot make a virtual environment; next: install its venv package (Debian: python3-venv)' >&2; exit 3; }
	@echo 'setup: installing locked dependencies into $(VENV) (about 30 s)' >&2
	@$(PIP) install --require-hashes --requirement requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@

.PHONY: ladder
ladder: setup ## Set up, climb v1 to v6 of the main ladder, print the table
	@$(RUN) climb main

stage-%: setup ## Run one stage of the main ladder: make stage-v2
	@$(RUN) run main/$*

experiment-%: setup ## Climb any other ladder: make experiment-NAME for ladders/NAME.toml
	@$(RUN) climb $*

.PHONY: replicate
replicate: setup ## Run all published ladders, scaled down (FULL=1: published sizes), and say which results reproduce
	@$(RUN) replicate

.PHONY: seed-db
seed-db: setup ## Seed PostgreSQL and its template (SCALE=0.01 for a small one; DATABASE_URL for your own server)
	@$(VENV)/bin/python -m vcpu_ladder.postgres seed --scale $(or $(SCALE),1.0)

.PHONY: up
up: setup ## Start the whole Compose stack, Prometheus and Grafana included, and print the addresses (WITHOUT=grafana)
	@$(RUN) up $(addprefix --without ,$(WITHOUT))

.PHONY: down
down: setup ## Remove the stack's containers and network; the data stays
	@$(RUN) down

.PHONY: reset-db
reset-db: setup ## Remove the Compose stack's PostgreSQL data
	@$(RUN) reset-db

.PHONY: summary
summary: setup ## Merge all records into results/summary.{md,csv,json} and the terminal
	@$(RUN) summary

.PHONY: audit
audit: setup ## Check published figures by Little's law and the ceilings (FILE=mine.toml for your own)
	@$(RUN) audit $(FILE)

.PHONY: doctor
doctor: setup ## Say what this machine can and cannot do, with remedies
	@$(RUN) doctor

.PHONY: list
list: setup ## List the ladders and their stages
	@$(RUN) list

.PHONY: test
test: $(VENV)/.installed-dev ## Set up and run the tests (unit, golden, end to end with short loads)
	@$(VENV)/bin/python -m pytest

.PHONY: test-unit
test-unit: $(VENV)/.installed-dev ## Only the tests without servers and processes: a few seconds
	@$(VENV)/bin/python -m pytest tests/unit

.PHONY: test-compose
test-compose: $(VENV)/.installed-dev ## Test the Compose stack end to end; provides an engine and base images where there are none
	@PYTHON=$(VENV)/bin/python tests/compose/run

.PHONY: check
check: $(VENV)/.installed-dev ## Lint, format and types
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

.PHONY: bench-mock
bench-mock: setup ## Measure the upstream mock against a Go twin (needs Go and wrk)
	@$(VENV)/bin/python -m benchmarks.mock

.PHONY: bench-seed
bench-seed: setup ## Measure the seed against the published SQL at full scale (about 13 minutes)
	@$(VENV)/bin/python -m benchmarks.seed

.PHONY: lock
lock: ## Recompile the requirements with hashes (needs uv)
	@uv pip compile $(LOCK) requirements-dev.in -o requirements-dev.txt
	@for name in requirements services/api/requirements services/mock/requirements; do \
	  uv pip compile $(LOCK) $$name.in -c requirements-dev.txt -o $$name.txt || exit 1; done
LOCK := --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header

.PHONY: clean
clean: ## Remove the virtual environment, caches and generated data; never results
	@rm -rf $(VENV) .data .mypy_cache .pytest_cache .ruff_cache .hypothesis
