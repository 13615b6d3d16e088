# Everything that a fresh machine needs is Python 3.10 or later, with its venv module, and make.
# `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON_IN_VENV := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
EXTRAS := quantize,onnx,cross,cuda,tune,demo,dev
PIP_INSTALL := $(PYTHON_IN_VENV) -m pip install -qq --disable-pip-version-check --constraint requirements/lock.txt

# The first of these that is new enough makes the environment; `make setup PYTHON=...` chooses another.
PYTHONS := python3 python3.13 python3.12 python3.11 python3.10 python3.14 python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 10))
UV_VERSION := 0.13.9

.PHONY: help setup test soak log-soak lint format demo bench-peers bench-layers bench-gpu bench-arm accuracy-table lock clean distclean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## make .venv with the pinned dependencies and intbert itself (editable)

$(STAMP): pyproject.toml requirements/lock.txt
	@python="$(PYTHON)"; \
	for candidate in $(PYTHONS); do \
	  if [ -z "$$python" ] && command -v "$$candidate" >/dev/null && "$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	    python="$$candidate"; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then echo "make: no Python 3.10 or later found; install one, or run make setup PYTHON=/path/to/python" >&2; exit 1; fi; \
	if ! [ -x $(PYTHON_IN_VENV) ] || ! $(PYTHON_IN_VENV) -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	  echo "Making $(VENV) with $$($$python --version) ..."; \
	  $$python -m venv --clear $(VENV) \
	    || { echo "make: $$python lacks the venv module; Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi
	@echo "Installing the pinned dependencies (torch is large: a few minutes the first time) ..."
	@$(PIP_INSTALL) --upgrade --requirement requirements/build.in
	@$(PIP_INSTALL) --no-build-isolation --editable '.[$(EXTRAS)]'
	@mkdir -p $(VENV)/source && ln -sfn ../.. $(VENV)/source/intbert
	@touch $@

# Processes that run tests: two, because the boards' tests, a third of them all, run one after the other.
WORKERS := 2
test: setup ## run the tests; WORKERS=0: in one process
	@$(PYTHON_IN_VENV) -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder

SESSIONS := 200
soak: setup ## many sessions with a virtual board, its processes killed at random; SESSIONS=200
	@INTBERT_SOAK_SESSIONS=$(SESSIONS) $(PYTHON_IN_VENV) -m pytest -s tests/devices/test_soak.py

KILLS := 1000
log-soak: setup ## write a tuning log from many processes that are killed at random; KILLS=1000
	@INTBERT_LOG_SOAK_KILLS=$(KILLS) $(PYTHON_IN_VENV) -m pytest -s tests/schedules/tuning_log/test_durability.py

lint: setup ## check style, formatting and types
	@$(PYTHON_IN_VENV) -m ruff check .
	@$(PYTHON_IN_VENV) -m ruff format --check .
	@$(PYTHON_IN_VENV) -m pyright

format: setup ## format the code and mend what ruff can
	@$(PYTHON_IN_VENV) -m ruff check --fix .
	@$(PYTHON_IN_VENV) -m ruff format .

demo: setup ## quantize, compile and run a real model, and cross-compile it for a Raspberry Pi 4
	@$(PYTHON_IN_VENV) -m intbert.cli.demo

bench-peers: setup ## measure other runtimes beside this one; writes build/bench/peers.json (ARGS=--quick: a minute)
	@$(PYTHON_IN_VENV) benchmarks/peers.py $(ARGS)

bench-layers: setup ## measure one encoder layer at every precision beside float32; writes build/bench/layers.json
	@$(PYTHON_IN_VENV) benchmarks/layers.py $(ARGS)

bench-gpu: setup ## measure on this machine's NVIDIA card, beside what else runs there; writes build/bench/gpu.json
	@$(PYTHON_IN_VENV) benchmarks/gpu.py $(ARGS)

bench-arm: setup ## count instructions on emulated Arm CPUs; writes build/bench/arm.json (ARGS="--only intbert": a slice)
	@$(PYTHON_IN_VENV) benchmarks/arm.py $(ARGS)

accuracy-table: setup ## train, compile and judge every method; writes docs/accuracy.md (ARGS=--quick: a slice)
	@$(PYTHON_IN_VENV) benchmarks/accuracy.py $(ARGS)

lock: setup ## write requirements/lock.txt anew, keeping the versions in it where they still fit
	@$(PYTHON_IN_VENV) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.10 --all-extras --no-header --no-annotate \
	  --constraint requirements/constraints.in pyproject.toml requirements/build.in --output-file requirements/lock.txt
	@sed -i -E "s/( ;| and) sys_platform == 'linux'\$$//" requirements/lock.txt

clean: ## remove what builds, tests and benchmarks left
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## remove the environments too
	@rm -rf $(VENV) $(VENV)-*
