# mtkit: `make` alone prints this list. Everything works from nothing: a virtual environment is made in .venv.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
PEERS := $(basename $(notdir $(wildcard benchmarks/peers/*.txt)))
SENTENCE ?= The device is already configured.

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow rules check format docs bench-peers bench bench-decoding bench-cold-start clean distclean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed ## from nothing: fetch real text, train English to German, score, translate a sentence (5 to 10 minutes)
	$(RUN)/mtkit run recipes/demo.yaml
	@printf '\n%s\n' '$(SENTENCE)'
	@printf '%s\n' '$(SENTENCE)' | $(RUN)/mtkit translate --quiet

test: $(VENV)/installed-dev ## from nothing: run the tests (about 3 minutes)
	$(RUN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/installed-dev ## the slow tests too
	$(RUN)/python -m pytest -m 'not gpu and not network' --hypothesis-profile=new

rules: $(VENV)/installed-dev ## format, lint, types, house rules
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/python -m pytest --quiet tests/house

check: rules test ## the rules and the tests

format: $(VENV)/installed-dev ## put the code into its format
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

docs: $(VENV)/installed-dev ## write the generated pages of docs/ anew
	$(RUN)/python docs/generate.py

bench-peers: ## install the toolkits that mtkit is compared with, each in .peers/NAME (about 1 GB each)
	$(MAKE) --keep-going $(PEERS:%=.peers/%/installed)

.peers/%/installed: benchmarks/peers/%.txt constraints.txt
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	.peers/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

bench: $(VENV)/installed-dev ## training, contention and corpus on a CPU, with the peers that are installed (about 20 minutes)
	$(RUN)/python benchmarks/training.py --json benchmarks/results/training.json
	$(RUN)/python benchmarks/contention.py
	$(RUN)/python benchmarks/corpus.py --pairs 1000000
	$(RUN)/python docs/generate.py

bench-decoding: $(VENV)/installed-dev ## how fast text is translated, beside the peers that are installed (about 20 minutes)
	$(RUN)/python benchmarks/decoding.py --json benchmarks/results/decoding.json
	$(RUN)/python docs/generate.py

bench-cold-start: $(VENV)/installed-dev ## what one sentence costs from a cold start, model of base size (about 1 minute)
	$(RUN)/python benchmarks/cold_start.py $(if $(wildcard runs/demo),--model runs/demo) --rounds 21 --json benchmarks/results/cold_start.json
	$(RUN)/python docs/generate.py

clean: ## remove what tools leave behind; runs/ stays
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environments and every run too
	rm -rf $(VENV) .peers runs
