# Two commands: `make run` migrates the bundled application phase by phase, `make test` checks everything.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# What make starts ends with make, also when make is killed. (setpriv is part of util-linux; elsewhere the
# playbook watches its parent by itself.)
GUARD := $(shell command -v setpriv >/dev/null 2>&1 && echo setpriv --pdeathsig KILL --)

# Whole files, three at a time: part of a test is waiting for processes, so that keeps two cores busy. Without
# nbval's plugin, which no test needs and which takes a second to load.
PYTEST := $(BIN)/pytest -p no:nbval -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: install run test test-long lint notebooks benchmark lab clean

install: $(INSTALLED)

run: $(INSTALLED)
	@PLAYBOOK_PARENT=$$PPID exec $(GUARD) $(BIN)/playbook run

test: lint
	@exec $(GUARD) $(PYTEST) tests/playbook
	@exec $(GUARD) $(PYTEST) tests/reflector
	@exec $(GUARD) $(BIN)/pytest --nbval --nbval-current-env -n 2 --dist loadfile --no-loadscope-reorder notebooks

# What is too long for every day: the full sizes of tests that `make test` runs scaled down.
test-long: $(INSTALLED)
	@exec $(GUARD) $(BIN)/pytest -m long -s tests/playbook

lint: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# Execute the committed notebooks again and write their outputs.
notebooks: $(INSTALLED)
	@$(BIN)/jupytext --sync notebooks/*.py
	@$(GUARD) $(BIN)/jupytext --set-kernel python3 --execute notebooks/*.ipynb
	@$(BIN)/jupytext --sync notebooks/*.ipynb

benchmark: $(INSTALLED)
	@exec $(GUARD) $(BIN)/pytest -m benchmark -s tests/playbook/benchmarks

lab: $(INSTALLED)
	@exec $(GUARD) $(BIN)/playbook lab

$(INSTALLED): pyproject.toml constraints.txt reflector/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; give one with PYTHON=...")'
	@echo "Installing into .venv (a minute or two) ..."
	@$(GUARD) $(PYTHON) -m venv .venv
	@$(GUARD) $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' -e ./reflector
	@touch $@

clean:
	rm -rf .venv runs
