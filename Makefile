# make setup | demo | test | check | bench | docs: each does its own set-up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test bench check types docs sources format clean

setup: $(READY)

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/ikit demo --out ikit-demo --force

test: setup
	$(BIN)/pytest -n 2

# The short forms, of those that need no GPU; one program in full: .venv/bin/python benchmarks/mining.py
bench: setup
	for each in $$(grep -l '^from clock import' benchmarks/*.py | xargs grep -l '^if __name__' | \
	    xargs grep -L 'device="cuda"'); do \
	  $(BIN)/python $$each --short --rounds 2 || exit 1; \
	done

check: setup types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# As it is installed, with cli and trainers inside: neither mypy nor griffe reads package-dir.
sources:
	rm -rf build/types && mkdir -p build/types/interpret_kit
	ln -s $(CURDIR)/interpret_kit/* $(CURDIR)/trainers $(CURDIR)/cli build/types/interpret_kit/

# The examples and the calls of a user come after the package.
types: setup sources
	ln -s $(CURDIR)/examples $(CURDIR)/tests/typed_calls.py build/types/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
	  interpret_kit examples/*.py typed_calls.py

# build/site/index.html opens from disk
docs: setup sources
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "open build/site/index.html"

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info ikit-demo
