# `make` lists the targets. Everything runs in one environment, .venv, built on first use from
# requirements.lock; a later change of the lock updates it.

PYTHON ?= python3
PROFILE ?= embedded
PORT ?= 5000
PYTEST_ARGS ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
UV_VERSION := 0.13.9
VENV := .venv
UV := $(VENV)/bin/uv
# DVC and Snakemake call `python` and `snakemake` from PATH, so the environment is activated.
ACTIVATE := . $(VENV)/bin/activate &&

# Without bytecode every start takes three times as long, and a workflow is many starts.
export UV_COMPILE_BYTECODE ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true
export PROFILE

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test ui lint format lock clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.ready  ## build the environment (about 2 GB)

reproduce: setup  ## run the workflow; PROFILE=smoke for a run of about a minute
	$(ACTIVATE) exec bash workflow/reproduce.sh

test: setup  ## run the tests; DSEG_SHARED=folder adds those on public sample data
	$(ACTIVATE) python -m pytest $(PYTEST_ARGS)

ui: setup  ## show the logged runs in a browser, on this machine only; PORT=5000
	$(ACTIVATE) mlflow server --workers 1 --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port $(PORT)

lint: setup  ## check style and types
	$(ACTIVATE) ruff check . && ruff format --check . && mypy && snakefmt --check workflow && snakemake --lint

format: setup  ## rewrite files in the house style
	$(ACTIVATE) ruff check --fix . && ruff format . && snakefmt workflow

# Pins that still fit are kept; `rm requirements.lock` first to take the newest of everything.
# Local wheel folders are left out: their paths and local versions do not belong in a lock. torch has
# no hashes, since everybody takes the build that fits: uv checks what has one. pip and conda refuse
# a file in which only some have one, and read requirements.txt: the same pins without hashes.
lock: setup  ## bring requirements.lock in line with pyproject.toml
	env -u UV_FIND_LINKS $(UV) pip compile --quiet --universal --python-version 3.11 \
		--config-file uv-compile.toml --group dev --custom-compile-command "make lock" \
		--generate-hashes --output-file requirements.lock pyproject.toml
	$(VENV)/bin/python workflow/without_hashes.py

clean:  ## remove caches and logs; artifacts and results stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache logs build dist
	find dseg tests benchmarks -name __pycache__ -type d -exec rm -rf {} + 2>/dev/null || true

# uv does not read pip's configuration. Where pip is told of a folder of wheels, such as a CPU
# build of torch, uv is told too.
$(VENV)/.ready: export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || \
		{ echo "error: dseg needs Python 3.11 to 3.13, but $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1); name another with PYTHON=python3.11" >&2; exit 2; }
	@echo "building $(VENV): about 2 GB, some minutes with a cold cache"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(UV) pip install --quiet --python $(VENV)/bin/python --requirement requirements.lock
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-deps --editable .
	@touch $@
