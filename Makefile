# Needs only python3 (3.11 or later), make and the network. Everything is installed into .venv, once: the stamp files
# there are newer than pyproject.toml and the constraints, so a second run installs nothing.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
VENV_NUMPY1 := .venv-numpy1
BIN := $(VENV)/bin
QUICKSTART := $(VENV)/.installed-quickstart
DEV := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
SPARK := $(VENV)/.installed-spark
SERVICE := $(VENV)/.installed-service
NUMPY1 := $(VENV_NUMPY1)/.installed
VENV_RECTOOLS := .venv-rectools
RECTOOLS := $(VENV_RECTOOLS)/.installed
VENV_PEERS := .venv-peers
VENV_ADAPTERS := .venv-adapters
NATIVE := recokit/_native/lib/.built
SANITIZED := $(CURDIR)/build/sanitized
MUTANTS := $(VENV)/.installed-mutants
METRIC_PEERS := $(VENV_PEERS)/.installed

# Run before every installation: one clear sentence instead of a resolver's complaint.
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"recokit needs Python 3.11 or later, found %s: set PYTHON=/path/to/python3" % sys.version.split()[0])'
PIP = -m pip --disable-pip-version-check install --progress-bar off

.DEFAULT_GOAL := help
.PHONY: help quickstart service test lint types contracts tests coverage test-slow test-long test-browser test-spark test-numpy1 test-adapters accuracy mutants bench bench-smoke results docs gallery format native wheels sanitize test-fallback clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

quickstart: $(QUICKSTART)  ## install recokit and run the main example
	$(BIN)/python examples/quickstart.py

service: $(SERVICE)  ## the example service, with a shop page, on http://127.0.0.1:8000
	SERVICE_DEMO=1 OMP_NUM_THREADS=1 $(BIN)/python -m examples.service

test: lint types contracts tests  ## all checks but the slow tests

lint: $(DEV)  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)  ## mypy, strict
	$(BIN)/mypy

contracts: $(DEV)  ## the layers of the package
	$(BIN)/lint-imports --no-logo

tests: $(DEV) $(NATIVE)  ## the tests and doctests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not long and not browser and not spark"

coverage: $(DEV) $(NATIVE)  ## the same with coverage, a third slower; at least 95 %
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not long and not browser and not spark" --cov --cov-report=term

test-slow: $(DEV) $(NATIVE)  ## the slow tests: simulations and long statistics
	$(BIN)/python -m pytest tests -n $(WORKERS) --dist worksteal -m "slow and not browser and not spark"

test-long: $(DEV)  ## the long tests: thousands of replays and slates
	$(BIN)/python -m pytest tests -n $(WORKERS) --dist worksteal -m long

test-spark: $(SPARK) $(NATIVE)  ## jobs on Spark, which needs Java 17
	$(BIN)/python -m pytest tests/distributed -m spark

test-browser: $(DEV)  ## the pages in headless Chromium, which must be installed
	$(BIN)/python -m pytest tests -m browser

test-numpy1: $(NUMPY1) $(NATIVE)  ## the tests again, on numpy 1.26, with coverage
	$(VENV_NUMPY1)/bin/python -m pytest tests -n $(WORKERS) --dist worksteal -m "not slow and not long and not browser and not spark" --cov --cov-report=term

test-adapters: $(VENV_ADAPTERS)/.installed  ## models of XGBoost and CatBoost against recokit's reading of them
	$(VENV_ADAPTERS)/bin/python -m pytest tests/adapters -q

mutants: $(MUTANTS)  ## lines broken at random, and whether a test notices: SEED=7 N=300, 8 minutes a call, again to go on
	$(BIN)/python -m benchmarks.mutants recokit -n $(or $(N),300) --seed $(or $(SEED),0) --all-tests --jobs $(WORKERS)

accuracy: $(DEV)  ## sources against the published table of citeulike-a
	$(BIN)/python -m benchmarks.accuracy --data citeulike-a

bench: $(DEV) $(RECTOOLS) $(METRIC_PEERS)  ## the benchmarks, or NAMES="request rules", with their peers; keeps the results
	$(BIN)/python $(PIP) -r benchmarks/requirements-peers.txt
	RECOKIT_PEERS_PYTHON=$(VENV_PEERS)/bin/python $(BIN)/python -m benchmarks run $(NAMES)
	$(BIN)/python -m benchmarks table

bench-smoke: $(DEV)  ## the benchmarks at a small size: does each still run to its end?
	$(BIN)/python $(PIP) -q -r benchmarks/requirements-peers.txt
	$(BIN)/python -m benchmarks smoke $(NAMES)

results: $(DEV)  ## benchmarks/RESULTS.md from the kept last lines of benchmarks
	$(BIN)/python -m benchmarks table

# -W: a link that leads nowhere, a docstring that does not parse, a page in no table of contents end the build.
docs: $(DOCS)  ## the site, pages, API reference and gallery, into site/
	$(BIN)/python -m sphinx -b html -j $(WORKERS) -q -W --keep-going -d build/docs docs site
	@echo "open site/index.html"

gallery: $(DEV)  ## the scripts of the gallery, each in half a minute
	$(BIN)/python -m examples.gallery $(NAMES)

format: $(DEV)  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

native: $(NATIVE)  ## compile the C kernels again, where their sources changed

wheels: $(BIN)/python  ## a wheel for each platform, cross-compiled, into dist/
	@set -e; for tag in $$($(BIN)/python -c "import runpy; print(*runpy.run_path('recokit/_native/compile.py')['TARGETS'])"); do \
		RECOKIT_WHEEL=$$tag $(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps -w dist .; done
	@ls -l dist

test-fallback: $(DEV)  ## the packages that use compiled kernels, without them
	RECOKIT_NATIVE=0 $(BIN)/python -m pytest tests/_native tests/_kernels tests/slates tests/diversity tests/rankers tests/candidates \
		-n $(WORKERS) --dist worksteal -m "not slow and not long and not browser and not spark"

sanitize: $(DEV)  ## the kernels' tests on libraries that check memory and arithmetic
	$(BIN)/python recokit/_native/compile.py --folder $(SANITIZED) -- -g -fsanitize=address,undefined -fno-sanitize-recover
	RECOKIT_NATIVE=$(SANITIZED) ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$$(cc -print-file-name=libasan.so) \
		$(BIN)/python -m pytest tests/_native tests/_kernels tests/slates/test_slates_compiled.py \
		-q --capture=sys -p no:cacheprovider -m "not slow"

clean:  ## remove what the other targets made, the environments too
	rm -rf $(VENV) $(VENV_NUMPY1) $(VENV_RECTOOLS) docs/reference/api docs/gallery site dist build .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .mutants
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)

$(VENV_NUMPY1)/bin/python:
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV_NUMPY1)

# A machine without a compiler goes on without: the kernels' numpy form answers the same.
$(NATIVE): $(wildcard recokit/_native/c/*) recokit/_native/compile.py | $(BIN)/python
	$(BIN)/python recokit/_native/compile.py || echo "WARNING: no compiled kernels"
	@mkdir -p $(dir $@) && touch $@

$(QUICKSTART): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python $(PIP) -c constraints.txt -e ".[datasets,rich]"
	touch $@

$(SERVICE): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python $(PIP) -c constraints.txt -e ".[service]"
	touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python $(PIP) -c constraints.txt -e ".[all,test,lint,release,notebooks]"
	touch $@ $(QUICKSTART) $(SERVICE)

$(SPARK): $(DEV)
	$(BIN)/python $(PIP) -c constraints.txt -e ".[spark]"
	touch $@

$(DOCS): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python $(PIP) -c constraints.txt -e ".[all,docs]"
	touch $@

$(NUMPY1): pyproject.toml constraints-numpy1.txt | $(VENV_NUMPY1)/bin/python
	$(VENV_NUMPY1)/bin/python $(PIP) -c constraints-numpy1.txt -e ".[all,test]"
	touch $@

$(MUTANTS): benchmarks/requirements-mutants.txt $(DEV)
	$(BIN)/python $(PIP) -r benchmarks/requirements-mutants.txt
	touch $@

$(METRIC_PEERS): benchmarks/requirements-metric-peers.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear $(VENV_PEERS)
	$(VENV_PEERS)/bin/python $(PIP) -r benchmarks/requirements-metric-peers.txt .
	@touch $@

$(VENV_ADAPTERS)/.installed: benchmarks/requirements-adapters.txt pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV_ADAPTERS)
	$(VENV_ADAPTERS)/bin/python $(PIP) -c constraints.txt -r benchmarks/requirements-adapters.txt -e .
	touch $@

$(RECTOOLS): benchmarks/requirements-rectools.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV_RECTOOLS)
	$(VENV_RECTOOLS)/bin/python $(PIP) -r benchmarks/requirements-rectools.txt
	touch $@
