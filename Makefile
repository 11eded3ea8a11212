# make cluster   three members with TLS on this machine, live view; needs only Python 3.11+
# make test      all checks and tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODES ?= 3

.PHONY: cluster test lint proto bench image clean

# The stamp is younger than pyproject.toml: then nothing needs to be installed again.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %s; try: make PYTHON=python3.13" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

cluster: $(VENV)/installed
	$(BIN)/miniraft cluster --nodes $(NODES)

test: lint
	$(BIN)/pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python proto/generate.py --check

proto: $(VENV)/installed-dev
	$(BIN)/python proto/generate.py

# Needs h2load (package nghttp2-client), wrk, and the real etcd on the PATH to compare with.
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks

image:
	docker build --tag miniraft .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
