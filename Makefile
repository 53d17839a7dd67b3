# `make demo` and `make test` do all their own set-up. They need Python >= 3.10 (with venv) and make, nothing else.
# Another interpreter: make test PYTHON=/usr/bin/python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-matrix test-all test-docker test-built check format bench docs pictures clean

# The incident, replayed: a refused wheel, one that does not import, one that works.
demo: $(READY)
	PYTHONPATH=tests $(BIN)/python demo/demo.py

# About a quarter of an hour on two cores.
test: $(READY)
	$(BIN)/pytest --numprocesses auto -m "not slow and not matrix and not docker"

# What needs a minute each, or PyPI: every Python and many pips that are on this machine.
test-slow: $(READY)
	$(BIN)/pytest --numprocesses auto -m "slow and not docker"

# Every step of a transaction stopped in every way, ten pips with every failure, every twin case: an hour on two cores.
test-matrix: $(READY)
	$(BIN)/pytest --numprocesses auto -m matrix

# The sdist and the wheel, in an environment of their own and without src/; all of the default set: .ci/built --all
test-built:
	PYTHON=$(PYTHON) .ci/built

# Images built from Dockerfiles; needs buildah and debootstrap, and root.
test-docker: $(READY)
	$(BIN)/pytest -m docker

test-all: test test-slow test-docker test-matrix

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Every figure that is promised, beside pip and uv, in about five minutes: make bench ONLY=a,b measures some of them.
bench: $(READY)
	PYTHONPATH=tests $(BIN)/python -m benchmarks --json build/bench.json $(if $(ONLY),--only $(ONLY))

# The site, in build/docs/html. What is generated is made anew first; a broken link or a page that no other names fails.
docs: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env -d build/docs/doctrees docs build/docs/html
	@echo "build/docs/html/index.html"

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

# The pictures of docs/, drawn from real runs; tests/test_pictures.py compares them.
pictures: $(READY)
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --group (PEP 735) needs pip 25.1, which the Python that makes the environment need not have.
$(READY): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10) and 'pipfallback needs Python 3.10 or newer, this is ' + sys.version.split()[0] + ': make PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group check
	touch $@
