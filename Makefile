# `make run` and `make test` set up what they need. Everything lives in .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := funnel candidates light_ranker heavy_ranker heuristics synthetic configs
CODE := $(wildcard $(SOURCES)) tests bench docs
VIEWER ?= 7

.DEFAULT_GOAL := help
.PHONY: help run test check lint install fmt bench docs golden clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: install ## build a small world, train, and show a timeline (VIEWER=7)
	@$(BIN)/funnel simulate --viewer $(VIEWER)

test: install ## run the tests
	$(BIN)/pytest

check: lint test ## everything that must hold: style, types, layers, tests, docs

lint: install
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(READY) ## make .venv with the tested versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@echo "compiling the kernels, once: about a minute"
	@FUNNEL_HOME=$(VENV)/warmup $(BIN)/funnel simulate --world tiny --viewer 7 --set heavy_ranker.epochs=1 --json >/dev/null 2>&1
	@rm -rf $(VENV)/warmup
	@touch $@

fmt: install ## format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: install ## measure speed beside this machine's ceilings, and quality beside baselines
	$(BIN)/funnel bench

docs: install ## write the generated pages of docs/
	$(BIN)/python -m docs.generate

golden: install ## write the golden files again, on purpose
	FUNNEL_WRITE_GOLDEN=1 $(BIN)/pytest tests/test_golden.py

clean: ## remove what was built (not the cache of worlds and models)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
