# Two commands need no set-up: `make repro` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Nothing here reports home: MLflow by this variable, DVC by .dvc/config, OpenVINO in models/engine.py.
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
MLFLOW_PORT ?= 5000
PIP_QUIET := --quiet --disable-pip-version-check

# Images, weights and the opponent's script; without them `make bench` measures on the default study's images.
BENCH_INPUTS ?= ../shared

# Most of a slow test is one process starting TensorFlow: two at a time suit two cores and up.
WORKERS := -n 2

.PHONY: help install repro tiny verify retrain certify test quick coverage bench bench-search bench-checks bench-ledger bench-paper lint ui docs lock readme clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/package ## Make .venv from requirements.lock (nothing to do if it is unchanged)

# Programs in an environment name the folder it was made in: one that was moved or copied is made again. A link stays.
MADE_AT := $(VENV)/made_at
HERE := $(realpath $(VENV))
ifneq ($(shell cat $(MADE_AT) 2>/dev/null || sed -n 's/^command = .* -m venv \(--[a-z-]* \)*//p' $(VENV)/pyvenv.cfg 2>/dev/null),$(HERE))
MOVED := moved
endif
.PHONY: moved
moved: ;

# The stamps hold what they were made from: a checkout gives files new times, and that alone reinstalls nothing.
$(VENV)/locked: requirements.lock $(MOVED)
	@if [ -n "$(MOVED)" ] || ! cmp -s $< $@; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11 " + "$(MAKECMDGOALS)")' && \
	  $(PYTHON) -m venv --clear $(VENV) && \
	  echo "installing $$(grep -c '==' $<) packages into $(VENV), a few minutes" && \
	  $(VENV)/bin/python -m pip $(PIP_QUIET) install --require-hashes --no-deps -r $< && \
	  (cd $(VENV) && pwd -P) > $(MADE_AT) && \
	  cp $< $@; \
	else touch $@; fi

$(VENV)/package: $(VENV)/locked pyproject.toml
	@if ! cmp -s pyproject.toml $@; then \
	  $(VENV)/bin/python -m pip $(PIP_QUIET) install --no-deps --no-build-isolation --editable . && \
	  cp pyproject.toml $@; \
	else touch $@; fi

repro: install ## Run the study of params.yaml: say what that takes, dvc repro, then log what MLflow lacks
	@# What git left half merged, or a full disk cut short: DVC says that a file is wrong, and not what to do about it.
	@unfreeze check-files
	@# Stops here where `dvc repro` would: at parameters or a lock that cannot be used.
	@unfreeze plan --short
	dvc repro
	@# The study is done whatever MLflow's server says; what is missing there is sent by the next sync.
	-@unfreeze sync

tiny: install ## Run every stage on a small study, a few minutes; params.yaml and the results become its own
	@unfreeze check-files
	dvc exp run -S study=tiny

verify: install ## Say whether dvc.lock matches the code, the parameters and the data
	unfreeze ci verify

retrain: install ## What CI does: retrain, judge, push, open a pull request, promote (PRESET=six for another study)
	unfreeze ci retrain $(if $(filter-out none,$(PRESET)),--preset "$$PRESET")

certify: install ## Run this commit again in an empty clone and say which outputs are identical
	unfreeze certify

test: install lint ## Check the code and run all tests
	pytest $(WORKERS)

quick: install ## Run the unit tests, a minute at most
	pytest $(WORKERS) -m "not slow"

coverage: install ## Run all tests and say which lines and branches of src none of them runs (at least 90 % are run)
	pytest $(WORKERS) --cov --cov-report=term --cov-report=html

bench: install ## Measure against the Keras guide's way and the machine's limits, into benchmarks/ (hours; goes on)
	python -m benchmarks --inputs $(BENCH_INPUTS) --growth

bench-search: install ## Measure what a search costs and what unfreezing is worth, into docs/search.md (hours; goes on)
	python -m benchmarks.search --inputs $(BENCH_INPUTS)

bench-paper: install ## Run the course report's study again, with right and with wrong pixels, into docs/paper.md (hours; goes on)
	python -m benchmarks.paper --inputs $(BENCH_INPUTS)

bench-ledger: install ## Measure `unfreeze sync` with 1,000 runs, into benchmarks/ledger.md (minutes)
	python -m benchmarks.ledger

bench-checks: install ## Measure the checks of the images, into benchmarks/checks.md (minutes)
	python -m benchmarks.checks --inputs $(BENCH_INPUTS)

lint: install ## ruff, mypy, and the workflows, as checks
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache
	zizmor --offline --quiet .github/workflows
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

ui: install ## Browse the runs in MLflow on http://127.0.0.1:5000 (another port: make ui MLFLOW_PORT=5050)
	unfreeze ui --port $(MLFLOW_PORT)

docs: install ## Open what the checks found, and the pages of Great Expectations it links
	@ls $(CURDIR)/reports/data.html $(CURDIR)/reports/data_docs/*/index.html
	@python -m webbrowser -t $(CURDIR)/reports/data.html >/dev/null

readme: install ## Rewrite the generated tables of README.md from metrics/
	unfreeze readme

lock: install ## Resolve requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --upgrade --quiet --output-file requirements.lock

clean: ## Remove the environment and every artifact that git and DVC do not hold
	rm -rf $(VENV) build reports/data_docs dvc_plots
