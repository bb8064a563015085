# Set-up is part of every target: .venv is built from constraints.txt, and again only when that or pyproject.toml changes.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
export PYTHONUNBUFFERED = 1

.PHONY: demo test test-daw check format docs samples clean

demo: .venv/run.stamp ## write a jazz piece into this folder
	.venv/bin/melodygen generate --style jazz

test: check ## everything that must hold
	.venv/bin/python -m pytest

test-daw: .venv/dev.stamp ## beside a real DAW, where jackd2 and ardour are installed (apt-get install jackd2 ardour)
	.venv/bin/python -m pytest -m daw -rs tests/daw

check: .venv/dev.stamp ## format, style, types and layers, without running a test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/dev.stamp ## format the code and sort its imports
	.venv/bin/ruff check --select I --fix .
	.venv/bin/ruff format .

docs: .venv/dev.stamp ## the documentation site, in site/; every warning is an error
	.venv/bin/mkdocs build --quiet --strict

samples: .venv/run.stamp ## write samples/ again
	.venv/bin/python scripts/make_samples.py

clean:
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/run.stamp: constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "melodygen needs Python 3.11 or newer: install it, or give make PYTHON=/path/to/python"; exit 1; }
	@echo "setting up .venv with $(PYTHON) (a few minutes the first time)"
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

.venv/dev.stamp: .venv/run.stamp
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $@
