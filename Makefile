# make demo   set up and segment a synthetic micrograph
# make test   set up and run the whole suite
# make paper  the figures and tables of the paper from MICROGRAPH=..., its Fig. 6a (docs/paper.md)
# PYTHON=...  another interpreter than python3 (3.11 or newer)

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

MICROGRAPH ?= fig6a.jpg

.PHONY: demo test paper check format clean

demo: $(READY)
	$(BIN)/nital demo --force

test: $(READY)
	$(BIN)/python -m pytest

paper: $(READY)
	$(BIN)/python benchmarks/paper.py $(MICROGRAPH) --out nital-paper

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv build nital-demo

# Installed anew whenever the versions or the package's needs change.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nital needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "this Python can't make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
