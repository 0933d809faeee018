# make run   sets everything up, loads examples/ into demo.duckdb, builds and tests the marts, and shows a summary
# make test  sets everything up and runs every test and check
# make check runs the fast checks and tests, on DuckDB, in about two minutes
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.PHONY: run test test-timescale check lint setup bench examples prices constraints clean
.DEFAULT_GOAL := run

# the samples always go to demo.duckdb, regardless of profiles.yml
DEMO := .tokenmart/demo
run: setup
	@test -e profiles.yml -o -e ~/.dbt/profiles.yml || cp profiles.example.yml profiles.yml
	@mkdir -p $(DEMO) && cp profiles.example.yml $(DEMO)/profiles.yml
	@DBT_PROFILES_DIR=$(DEMO) TOKENMART_DUCKDB_PATH=demo.duckdb $(BIN)/tokenmart run examples
	@echo "make run: done. These are samples, in demo.duckdb. Your own logs: .venv/bin/tokenmart run PATH"

# the tests of a file share servers, so they run in one process
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: lint
	@echo "Running the tests..."
	@$(BIN)/pytest $(PARALLEL)
	@echo "make test: every check and test passed"

# the tests that need a real TimescaleDB, and those that run on all engines, on the target TARGET of the profile
test-timescale: $(VENV)/.installed-to-test
	@test -n "$(TARGET)" || { echo "Name a TimescaleDB target of your profile: make test-timescale TARGET=name"; exit 1; }
	@TOKENMART_TEST_TIMESCALE=$(TARGET) $(BIN)/pytest tests/live_timescale.py
	@TOKENMART_TEST_TIMESCALE=$(TARGET) $(BIN)/pytest tests -k timescale

# the checks, and the tests of these files that are not marked as slow: they need no server, and few build the marts
QUICK := lines prepared formats contract event_ids checkpoints profile readme model_prices screen cli settings completion
check: lint
	@$(BIN)/pytest $(PARALLEL) -m "not slow" $(QUICK:%=tests/test_%.py)

lint: $(VENV)/.installed-to-test
	@echo "Checking the code..."
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfmt --check --dialect clickhouse --line-length 120 models macros analyses tests loader

setup: $(VENV)/.installed

$(VENV)/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tokenmart needs Python 3.11 or later; choose another version with: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing into $(VENV), which takes half a minute..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r constraints.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# adds the packages for the other warehouses, and the tools for tests and checks
$(VENV)/.installed-to-test: $(VENV)/.installed tests/constraints.txt
	@echo "Installing what the tests need, which takes another minute..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/constraints.txt
	@touch $@

# the quick measurements; the scripts have options for longer ones
bench: $(VENV)/.installed-to-test
	@$(BIN)/python tests/bench/load.py --events 200000 --slow-events 2000 --rounds 1 --without-servers
	@$(BIN)/python tests/bench/nothing_new.py --rounds 3
	@$(BIN)/python tests/bench/new_day.py --events-per-day 1000 --days 60 --rounds 1
	@$(BIN)/python tests/bench/transcripts.py --megabytes 20 --files 20 --rounds 1

# these targets generate files that are committed
examples: setup
	@rm -rf examples
	@$(BIN)/tokenmart sample examples --events 600 --days 30 --seed 7
	@$(BIN)/tokenmart sample examples --events 80 --days 30 --seed 7 --format claude_code --format tokenmeter --format ctm

prices: $(VENV)/.installed-to-test
	@$(BIN)/python seeds/make_model_names.py && $(BIN)/python seeds/make_model_prices.py

PIN := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

constraints:
	@$(PIN) --extra dev --upgrade pyproject.toml --output-file tests/constraints.txt
	@$(PIN) --extra build --constraint tests/constraints.txt pyproject.toml --output-file constraints.txt
	@for script in $$(grep --files-with-matches "^# /// script" tests/warehouses/*.py); do \
		$(PIN) --upgrade $$script --output-file $${script%.py}.txt; done

clean:
	@rm -rf $(VENV) target .tokenmart .pytest_cache .mypy_cache .ruff_cache
