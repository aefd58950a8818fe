# Needs python3 (3.11 or later, with venv), make and node. Everything else lands in .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export UV_PYTHON_DOWNLOADS := never
export PREK_HOME := $(CURDIR)/.venv/.prek
export IBM_TELEMETRY_DISABLED := true

BIN := .venv/bin
STAMP := .venv/.installed
CONFORMANCE := tests/conformance
SOURCES := kyros_collab_server http_api runner
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links --extra worker
PROOF_KILLS ?= 200

.PHONY: help setup run check test conformance e2e proof bench coverage lock env-example reference hooks clean

help: ## say what the targets do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install everything into it

$(BIN)/uv:
	@for python in python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found=$$python; break; fi; done; \
	[ -n "$${found:-}" ] || { echo "make setup needs Python 3.11 or later with venv" >&2; exit 1; }; \
	[ -x $(BIN)/python ] || "$$found" -m venv .venv; \
	$(PIP_INSTALL) uv

# pip is the slower second way in, for machines whose mirror or certificates only pip knows.
$(STAMP): requirements-dev.txt pyproject.toml | $(BIN)/uv
	@$(UV_INSTALL) --require-hashes -r requirements-dev.txt \
	  || { echo "uv could not install; trying pip" >&2; \
	       $(PIP_INSTALL) --require-hashes -r requirements-dev.txt; }
	@$(UV_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## start the server on http://127.0.0.1:8000 (more flags: ARGS="--port 9000")
	@exec $(BIN)/kyros serve --data-dir .kyros --seed-from collaboration $(ARGS)

check: setup ## format, lint, types, import contracts, house rules, secrets
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/pytest -q tests/house
	$(BIN)/prek run --all-files --skip ruff --skip ruff-format --hide-status passed --hide-status skipped

test: setup conformance ## every test that is due every day
	$(BIN)/pytest -m "not proof_long and not bench" $(ARGS)

conformance: $(if $(wildcard $(CONFORMANCE)/package-lock.json),$(CONFORMANCE)/node_modules/.installed)

$(CONFORMANCE)/node_modules/.installed: $(CONFORMANCE)/package-lock.json
	@cd $(CONFORMANCE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

e2e: setup ## browser tests: none yet, the console arrives with a later change
	@echo "There is no console yet, so there are no browser tests to run: nothing was tested here."
	@echo "The faces that do exist are driven end to end by 'make test'."

proof: setup ## long concurrency and crash proofs (PROOF_KILLS=200 for each engine)
	KYROS_PROOF_KILLS=$(PROOF_KILLS) $(BIN)/pytest tests/proof -m proof_long $(ARGS)

bench: setup ## floors and our figures side by side
	$(BIN)/python -m tests.bench $(ARGS)

lock: $(BIN)/uv ## compile the requirements again, hashed, naming no index
	$(COMPILE) pyproject.toml requirements-build.in -o requirements.txt
	$(COMPILE) pyproject.toml requirements-build.in --group dev -c requirements.txt -o requirements-dev.txt

coverage: setup conformance ## the tests again, measured against the bars
	$(BIN)/pytest -q -m "not proof_long and not bench" --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --fail-under=95 \
	  --include='kyros_collab_server/features/*,kyros_collab_server/kernel/*,kyros_collab_server/application.py'
	$(BIN)/coverage report --fail-under=90

env-example: setup ## write .env.example from the settings
	$(BIN)/python -m tests.house.env_example

reference: setup ## write docs/reference and docs/openapi.json from the code
	$(BIN)/python -m tests.contract.openapi_snapshot
	$(BIN)/python -m tests.contract.reference

hooks: setup ## install the git hooks
	$(BIN)/prek install

clean: ## remove .venv, caches and what was built; the data directory stays
	rm -rf .venv dist build htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
	  .import_linter_cache .hypothesis .schemathesis $(CONFORMANCE)/node_modules
	find $(SOURCES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
