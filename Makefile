# make demo: install what is missing and run the example goal.   make test: install and run all tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo

.PHONY: demo test check bubblewrap clean

demo: $(VENV)/installed bubblewrap
	@$(BIN)/python examples/commonmark/demo.py $(DEMO) $(if $(MODEL),--model $(MODEL))

test: $(VENV)/installed-dev bubblewrap
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Linux only; elsewhere `outlay doctor` says what there is.
bubblewrap:
	@command -v bwrap >/dev/null || [ "$$(uname)" != Linux ] || sh scripts/install-bubblewrap

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) $(DEMO)
