# Every command of the project, for people, for pre-commit and for CI alike. `make` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
UV := build/uv/bin/uv
TEST_PROCESSES ?= 2
export UV_LINK_MODE ?= copy
# Compiled code is kept: every `squall run` starts several processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo demo-cluster test test-cluster lint audit format generate contracts sbom fuzz cluster bench-local bench-engine bench-profile bench-capacity bench-soak bench-operator bench-observability bench-delivery bench-logs bench-evm clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(UV):
	@echo "Installing uv into build/uv"
	@$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

$(VENV)/.ready: pyproject.toml uv.lock | $(UV)
	@echo "Installing Squall and its development tools into $(VENV)"
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --quiet --frozen --all-extras --python $(PYTHON)
	@touch $@

setup: $(VENV)/.ready ## Install everything into .venv

demo: setup ## Start the bundled target and run a real load test against it
	@$(BIN)/python examples/demo.py

demo-cluster: setup ## Show it all on a real Kubernetes: images, chart, a sharded run that a threshold ends (as root, on Debian)
	@$(BIN)/python tests/cluster/demo.py

test: setup lint ## Run all quality gates and all tests but the cluster's long matrix
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile -m "not matrix"

# Only a cluster that is named on make's own command line is used: KUBECONFIG in the environment may well be production.
ifeq ($(origin KUBECONFIG),command line)
test-cluster: export SQUALL_TEST_KUBECONFIG := $(KUBECONFIG)
endif
test-cluster: setup ## Run the long matrix of what can happen on a cluster (as root on Debian, or KUBECONFIG=...)
	@$(BIN)/python tests/cluster/matrix.py

lint: setup ## Check format, lint, types, dependency rules and generated files
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > build/lint-imports.log || (cat build/lint-imports.log; exit 1)
	@$(BIN)/python -m squall.cli.generate --check
	@PYTHONPATH=dashboards $(BIN)/python -m squall_dashboards --check

# What nobody could look up is said and fails nothing: a registry or a network that is away is no vulnerability.
audit: setup ## Look for known vulnerabilities in what is locked (asks api.osv.dev)
	@$(UV) audit --frozen --preview-features audit-command > build/audit.log 2>&1 && tail -n 1 build/audit.log || \
	  if grep -q "error sending request" build/audit.log; then \
	    echo "audit: NOT DONE, the database of vulnerabilities cannot be reached"; \
	  else cat build/audit.log; exit 1; fi

format: setup ## Format the code and apply safe fixes
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

generate: setup ## Write the CRDs, the editor schema, the reference and the dashboards from the code
	@PYTHONPATH=dashboards $(BIN)/python -m squall_dashboards
	@$(BIN)/python -m squall.cli.generate

contracts: setup ## Compile the Solidity contracts of examples and runner; their compiler comes from npm
	@PYTHONPATH=tests $(BIN)/python -m support.solc

sbom: setup ## Write what is in the images into build/sbom, as CycloneDX
	@mkdir -p build/sbom
	@unseen=$$(sed -n 's/^ENV UNSEEN="\(.*\)"/\1/p' Dockerfile); for extras in operator runner "runner evm"; do \
		$(UV) export --quiet --frozen --no-dev --format cyclonedx1.5 $$(printf -- '--extra %s ' $$extras) \
			$$([ "$$extras" = operator ] || echo $$unseen) \
			--output-file build/sbom/squall-$${extras/ /-}.cdx.json > /dev/null || exit 1; \
	done

cluster: setup ## Run a real Kubernetes cluster with one node until Ctrl-C (as root, on Debian)
	@$(BIN)/python tests/cluster/run.py

fuzz: setup ## Feed a million odd responses to the HTTP client (INPUTS=, SEED=)
	@PYTHONPATH=tests $(BIN)/python -m support.fuzzrun --inputs $(or $(INPUTS),1000000) --seed $(or $(SEED),1)

bench-local: setup ## Measure start, stop, skew and precision; writes build/bench/local.json
	@$(BIN)/python bench/local.py

bench-engine: setup ## Measure the load engine beside k6, wrk and Locust; writes build/bench/engine.json
	@$(BIN)/python bench/engine.py

bench-profile: setup ## Tell where the time of one request goes; writes build/bench/engine-profile.md
	@$(BIN)/python bench/engine.py profile

bench-capacity: setup ## Measure how exactly a search finds a known limit; writes build/bench/capacity.json
	@$(BIN)/python bench/capacity.py

bench-soak: setup ## Watch memory for ten minutes at full rate; writes build/bench/soak.json
	@$(BIN)/python bench/soak.py

bench-operator: setup ## Measure operator and hub on real and fake nodes (as root, on Debian); writes build/bench/operator.json
	@$(BIN)/python bench/operator_bench.py $(addprefix --only ,$(ONLY))

bench-logs: setup ## Measure what logging iterations costs a runner; writes build/bench/logs.json
	@$(BIN)/python bench/logs.py

bench-evm: setup ## Measure what EVM chains cost the generator; writes build/bench/evm.json
	@$(BIN)/python bench/evm.py $(addprefix --only ,$(ONLY))

bench-observability: setup ## Measure what pushing metrics costs, and whether it is true; writes build/bench/observability.json
	@$(BIN)/python bench/observability.py

bench-delivery: setup ## Measure images, installing, and what operator and hub take when idle (as root, on Debian); writes build/bench/delivery.json
	@$(BIN)/python bench/delivery.py $(addprefix --only ,$(ONLY))

clean: ## Remove what was built here; the cache of built tools stays
	@rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
