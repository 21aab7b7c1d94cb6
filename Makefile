# make demo    set up, then train MaskablePPO against two treasure hunt servers (under 3 minutes)
# make test    set up, then run all tests
# make check   formatter, linter, types
# make setup   only set up (.venv)

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test test-fast check format setup programs package clean

demo: setup
	$(BIN)/gym-multisim train configs/treasure_hunt.yaml

test: setup programs
	$(BIN)/python -m pytest

test-fast: setup programs
	$(BIN)/python -m pytest -m "not slow"

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# The programs of simulators that the tests run, in the user's cache; quick if they are there.
programs: setup
	$(BIN)/gym-multisim install showdown

# Build the wheel, install it in a clean environment, import it and ask it for its simulators.
package: setup
	rm -rf dist build/package
	$(BIN)/python -m build --wheel --outdir dist
	$(PYTHON) -m venv build/package
	build/package/bin/pip install --quiet --constraint constraints.txt torch
	build/package/bin/pip install --quiet --constraint constraints.txt dist/*.whl
	cd build && package/bin/python -c "import gym_multisim; print(gym_multisim.__version__)"
	cd build && package/bin/gym-multisim list

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
