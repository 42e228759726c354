# Needs Python 3.11 or newer with pip, and make. To use another Python: make test PYTHON=python3.13
PYTHON ?= python3
ARGS ?=
# What differs between the loaders.
LOADING := tests/unit/staging tests/behaviour/test_merge.py tests/behaviour/test_damaged_files.py

NPM_PACKAGES := better-sqlite3@12.11.1 sql.js@1.17.0 @libsql/client@0.18.0 @tursodatabase/database@0.7.2 drizzle-kit@0.31.11 drizzle-orm@0.45.4

# The tests start hundreds of processes, and each would compile the program again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# Named after its Python, so that another PYTHON gets a new environment.
STAMP := $(VENV)/installed-$(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)

say = @sed -n 's/^$@:.*\#\# /$@: /p' Makefile

.DEFAULT_GOAL := help
.PHONY: help demo test test-without-apsw tools coverage lint format types schema-check wheel-check bench-small bench sidecar sidecar-check docs \
	reference check torture mutants clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## migrate a temporary copy of the fixture and show the result
	$(say)
	@.ci/demo.sh $(BIN)/migrator

test: $(STAMP) ## run the tests on all cores; make test ARGS="-k torn" runs some
	$(say)
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-without-apsw: $(STAMP) ## run the tests of loading, merging and damaged files as if APSW were not installed
	$(say)
	@PYTHONPATH=tests/support/without_apsw $(BIN)/python -m pytest -n auto $(or $(ARGS),$(LOADING))

coverage: $(STAMP) ## run the tests and report lines and branches that no test reaches; fails below the threshold in pyproject.toml
	$(say)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n auto --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(STAMP) ## check the code's style and format with ruff
	$(say)
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

format: $(STAMP) ## format the code with ruff and fix what it can fix
	$(say)
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

types: $(STAMP) ## check the types with mypy, and those that a program sees with pyright too
	$(say)
	@$(BIN)/python -m mypy
	@$(BIN)/python -m pip install -qq --editable '.[types]'
	@$(BIN)/python .ci/check_types.py

wheel-check: $(STAMP) ## build sdist and wheel, install the wheel alone, migrate with it
	$(say)
	@$(BIN)/python .ci/check_wheel.py

tools: $(STAMP) ## read and write the migrated fixture with other people's tools (DuckDB, pandas, Turso, Node.js …)
	$(say)
	@$(BIN)/python -m pip install -qq --editable '.[tools]'
	@if command -v npm > /dev/null; then npm install --silent --no-save --prefix $(VENV)/tools $(NPM_PACKAGES); fi
	@$(BIN)/python -m pytest tests/tools $(ARGS)

sidecar: $(STAMP) ## build dist/migrator, one file that runs without an installed Python
	$(say)
	@$(BIN)/python -m pip install -qq --editable '.[sidecar]'
	@$(BIN)/python .ci/build_sidecar.py

sidecar-check: sidecar ## build it, and migrate with nothing else installed
	$(say)
	@$(BIN)/python .ci/check_sidecar.py

docs: $(STAMP) ## build the site from docs/ into site/; warnings are errors
	$(say)
	@$(BIN)/python -m pip install -qq --editable '.[docs]'
	@$(BIN)/zensical build --clean --strict

reference: $(STAMP) ## regenerate docs/commands.md, docs/messages.md and the outputs of the worked examples
	$(say)
	@$(BIN)/python docs/make_command_reference.py
	@$(BIN)/python docs/make_message_reference.py
	@$(BIN)/python docs/make_worked_examples.py

schema-check: $(STAMP) ## prepare every SQL statement against a fresh schema
	$(say)
	@$(BIN)/migrator schema check

bench-small: $(STAMP) ## run the benchmarks on a small corpus, to check that they work
	$(say)
	@$(BIN)/python -m benchmarks.migrate_bench --size S --runs 1 --only migrator limit json_each executemany
	@$(BIN)/python -m benchmarks.storage_bench
	@$(BIN)/python -m benchmarks.search_bench --runs 3
	@$(BIN)/python -m benchmarks.startup_bench --size S --runs 3 --listed 40
	@$(BIN)/python -m benchmarks.tuning_bench --size 4:100:1000:10000 --runs 1

bench: $(STAMP) ## measure everything against the limit and the rivals, and write docs/benchmarks.md (an hour; 30 GB of disk)
	$(say)
	@$(BIN)/python -m pip install -qq --editable '.[bench]'
	@$(BIN)/python -m benchmarks.migrate_bench --size S M XL --runs 2 --write
	@$(BIN)/python -m benchmarks.migrate_bench --size huge --runs 1 --write
	@$(BIN)/python -m benchmarks.migrate_bench --size five-files --runs 7 --only migrator 'with search index' limit duckdb --write
	@$(BIN)/python -m benchmarks.migrate_bench --size tiny tiny-reference --runs 3 --only migrator 'with search index' limit --write
	@$(BIN)/python -m benchmarks.migrate_bench --growth --runs 2 --write
	@$(BIN)/python -m benchmarks.storage_bench --size M --write
	@$(BIN)/python -m benchmarks.search_bench --size M --write
	@$(BIN)/python -m benchmarks.startup_bench --write
	@$(BIN)/python -m benchmarks.stages_bench --size M

check: test lint types schema-check wheel-check ## run the tests and all checks

mutants: $(STAMP) ## make small changes to the most critical modules, and check that the tests notice (hours); ARGS="--sample 200" tries some
	$(say)
	@$(BIN)/python -m pip install -qq --editable '.[mutants]'
	@$(BIN)/python .ci/mutants.py $(ARGS)

torture: $(STAMP) ## test kills, faults, power cuts and 1,000,000 mutated inputs (hours); ARGS="--parts random --kills 100" does less
	$(say)
	@$(BIN)/python -m tests.torture $(ARGS)

clean: ## remove the environment, caches and build results
	$(say)
	@rm -rf $(VENV) $(VENV).tools build dist site .cache *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache mutants .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml .ci/make_venv.sh
	@.ci/make_venv.sh '$(PYTHON)' $(VENV)
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch $@
