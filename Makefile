# Two commands need no set-up: `make repro` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The committed results were computed with Python 3.11; the tests run on the first version and the last.
PYTHON ?= $(or $(call find,python3.11),$(call find,python3.13),$(call find,python3.12),$(call find,python3))
IS_FIT := import ensurepip, sys, venv; print((3, 11) <= sys.version_info[:2] <= (3, 13) or '')
find = $(if $(shell $(1) -c "$(IS_FIT)" 2>/dev/null),$(1))
NO_PYTHON = no Python 3.11, 3.12 or 3.13 that has the modules venv and ensurepip is on the PATH: install one (on \
	Debian and Ubuntu python3 and python3-venv) or name one, make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)
FOUND = $(or $(PYTHON),$(error $(NO_PYTHON)))
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Nothing here reports home: MLflow by this variable, DVC by .dvc/config, OpenVINO by the lock, without its telemetry.
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
# Many containers set it; each of the twenty processes of a study would compile its libraries anew.
export PYTHONDONTWRITEBYTECODE :=
MLFLOW_PORT ?= 5000
# The path as it was given: make reads a dollar sign as the beginning of a variable.
export STUDY_DATA := $(value DATA)
unexport DATA

# Images, weights and the opponent's script; without them `make bench` measures on the default study's images.
BENCH_INPUTS ?= ../shared

# Slow tests wait for servers and for single processes: three at a time keep two cores busy, and four are no faster.
WORKERS := -n 3
LOCK_EXTRA = uv pip compile - --constraint requirements.lock --universal --python-version 3.11 --generate-hashes \
  $$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
  --no-emit-index-url --no-header --no-annotate --upgrade --quiet --output-file

.PHONY: help install cluster heic hub repro tiny study verify retrain certify test quick coverage bench bench-quick bench-search bench-checks bench-ledger bench-serving bench-cluster bench-scale bench-paper bench-peers bench-elpv bench-recipes bench-best lint ui serve docs lock readme clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# What was made already stays, whatever its version of Python, unless PYTHON names another one.
install: ## Make .venv from requirements.lock (nothing to do if it is unchanged)
	@"$(FOUND)" install.py $(if $(filter file,$(origin PYTHON)),--keep-version)

cluster: install ## Add Ray and S3 to .venv, 240 MB, to divide work among machines: docs/cluster.md
	@python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements-cluster.lock

heic: install ## Add pillow-heif to .venv, to read HEIC, the photographs of iPhones
	@python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements-heic.lock

hub: install ## Add KerasHub to .venv, 65 MB, for its vision transformers: docs/backbones.md
	@python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements-hub.lock

repro: install ## Run the study of params.yaml: say what that takes, dvc repro, then log what MLflow lacks
	@# What git left half merged, or a full disk cut short: DVC says that a file is wrong, and not what to do about it.
	@unfreeze check-files
	@# Stops here where `dvc repro` would: at parameters or a lock that cannot be used.
	@unfreeze plan --short
	dvc repro
	@# The study is done whatever MLflow's server says; what is missing there is sent by the next sync.
	-@unfreeze sync

tiny: install ## Run every stage on a small study, a few minutes; params.yaml and the results become its own
	@unfreeze check-files --experiment
	dvc exp run -S study=tiny

study: install ## Run a study on your images: make study DATA="/x/My Photos (2023)" ARGS="-S study=tiny"
	@unfreeze check-files --experiment
	@unfreeze study "$$STUDY_DATA" $(ARGS)

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

bench-quick: install ## Measure one small study and single steps, beside the last commit that was measured so (minutes)
	python -m benchmarks.quick --inputs $(BENCH_INPUTS)

bench-search: install ## Measure what a search costs and what unfreezing is worth, into docs/search.md (hours; goes on)
	python -m benchmarks.search --inputs $(BENCH_INPUTS)

bench-paper: install ## Run the course report's study again, with right and with wrong pixels, into docs/paper.md (hours; goes on)
	python -m benchmarks.paper --inputs $(BENCH_INPUTS)

bench-elpv: install ## Run `study=best` on solar cells by the published protocol and without copies, into benchmarks/elpv.md (hours; goes on)
	python -m benchmarks.elpv --inputs $(BENCH_INPUTS)

bench-recipes: install ## Measure what each setting of `study=best` is worth on validation folds, into benchmarks/recipes.md (three hours; goes on)
	python -m benchmarks.recipes --inputs $(BENCH_INPUTS)

# Another environment that has the peers: make bench-peers PEERS_PYTHON=/path/to/bin/python.
bench-peers: install ## Measure against fastai and timm, installed into .bench (5 GB), into benchmarks/peers.md (hours; goes on)
	python -m benchmarks.peers --inputs $(BENCH_INPUTS) $(if $(PEERS_PYTHON),--python "$(PEERS_PYTHON)")

bench-best: install ## Run `study=best` and fastai in the same minutes, on two sets, into benchmarks/best.md (eight hours; goes on)
	python -m benchmarks.best --inputs $(BENCH_INPUTS) $(if $(PEERS_PYTHON),--python "$(PEERS_PYTHON)")

bench-ledger: install ## Measure `unfreeze sync` with 1,000 runs, into benchmarks/ledger.md (minutes)
	python -m benchmarks.ledger

bench-checks: install ## Measure the checks of the images, into benchmarks/checks.md (minutes)
	python -m benchmarks.checks --inputs $(BENCH_INPUTS)

bench-serving: install ## Measure the service under load, into benchmarks/serving.md (an hour, on a quiet machine)
	python -m benchmarks.serving --inputs $(BENCH_INPUTS)

bench-cluster: cluster ## Measure what a cluster of nodes on this machine gains and costs, into benchmarks/cluster.md (minutes)
	python -m benchmarks.cluster --inputs $(BENCH_INPUTS)

bench-scale: install ## Measure 100,000 images and a million generated rows, into benchmarks/scale.md (over an hour, 10 GB)
	python -m benchmarks.scale

lint: install ## ruff, mypy, and the workflows, as checks
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache
	zizmor --offline --quiet .github/workflows
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

ui: install ## Browse the runs in MLflow on http://127.0.0.1:5000 (another port: make ui MLFLOW_PORT=5050)
	unfreeze ui --port $(MLFLOW_PORT)

serve: install ## Answer images on http://127.0.0.1:8000 with the study's best model (ARGS="--port 8001 --model NAME")
	unfreeze serve $(ARGS)

docs: install ## Open what the checks found, and the pages of Great Expectations it links
	@ls "$$PWD"/reports/data.html "$$PWD"/reports/data_docs/*/index.html
	@python -c 'import pathlib, webbrowser; webbrowser.open_new_tab(pathlib.Path("reports/data.html").absolute().as_uri())' >/dev/null

readme: install ## Rewrite the generated tables of README.md from metrics/
	unfreeze readme

lock: install ## Resolve requirements.lock and those of `make cluster`, `make heic` and `make hub` anew
	uv pip compile pyproject.toml --extra dev --extra export --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-package openvino-telemetry --no-header --upgrade --quiet --output-file requirements.lock
	@# What the extras `cluster`, `heic` and `hub` add to it.
	printf 'msgpack>=1.1,<2\nray>=2.60,<3\ns3fs>=2024.6\n' | $(LOCK_EXTRA) requirements-cluster.lock
	echo 'pillow-heif>=1.1,<2' | $(LOCK_EXTRA) requirements-heic.lock
	@# TensorFlow is in requirements.lock as tensorflow-cpu; tensorflow-text is for tokenizers alone.
	echo 'keras-hub>=0.32,<0.33' | $(LOCK_EXTRA) requirements-hub.lock \
	  --no-emit-package tensorflow --no-emit-package tensorflow-text --no-emit-package setuptools

clean: ## Remove the environment and every artifact that git and DVC do not hold
	rm -rf $(VENV) .bench build reports/data_docs dvc_plots
