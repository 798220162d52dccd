# Needs Python 3.11, git, Node 20 and make; everything else is installed into .venv and node_modules.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test bench dist lint format audit fuzz clean

install: .venv/.installed

.venv/.installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: install
	$(BIN)/python -m sidecar.demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m protocol.codegen --check

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

bench: install
	$(BIN)/python -m benchmarks

# Asks the package indexes' advisory services; scripts/audit.py says what its status means.
audit: install
	$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python scripts/audit.py --pip-audit .cache/audit/bin/pip-audit

fuzz: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	$(BIN)/python -m campaigns.fuzz

dist: install
	$(BIN)/python -m build --no-isolation --wheel --outdir dist

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis client-shim/node_modules client-shim/dist
