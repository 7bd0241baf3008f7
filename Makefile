# Everything a newcomer needs is python3 (3.11 or newer) and make.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-lowest lint report docs release references mutants bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# Set-up runs once, and again only when the dependencies change.
$(READY): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "pip>=25.1"
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[files,examples]" --group dev
	touch $(READY)

demo: $(READY)  ## run every analysis and write reports/generated/index.html
	$(PY) -m analyses

test: $(READY)  ## prove the package right (the ordinary suite)
	$(PY) -m pytest

test-slow: $(READY)  ## the long simulations: coverage, type I error, recovery of truth
	$(PY) -m pytest -m slow

LOWEST := .venv-lowest
LANE   := tests/unit/test_readers.py tests/unit/test_study.py tests/unit/test_wide.py tests/unit/test_cli.py \
	tests/unit/test_cli_new.py tests/unit/test_checks.py tests/unit/test_transforms.py tests/unit/test_lmm_doors.py \
	tests/unit/test_figures_report.py tests/unit/test_tables.py tests/unit/test_survival_kaplan_meier.py

test-lowest: pyproject.toml constraints-lowest.txt  ## a short lane with the lowest versions declared
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-lowest.txt \
		--editable ".[files,examples,word]" pytest pytest-xdist hypothesis pyyaml
	$(LOWEST)/bin/python -m pytest -W ignore::DeprecationWarning $(LANE)

lint: $(READY)  ## ruff, mypy --strict, import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

report: demo  ## render reports/ with Quarto (needs quarto on the PATH)
	@command -v quarto >/dev/null || { echo "quarto is not on the PATH; the page of make demo needs none"; exit 1; }
	QUARTO_PYTHON=$(PY) quarto render reports

docs: $(READY)  ## execute the pages of docs/methods, and build the site docs/_site
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group docs
	$(PY) -m docs.build
	$(PY) -m docs.site

release: $(READY)  ## build sdist and wheel, install each apart, run the README's code there
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group docs
	$(PY) -m docs.release

references: $(READY)  ## remake tests/parity/reference/*.json with R (needs Rscript)
	$(PY) -m tests.parity.make_references

mutants: $(READY)  ## change one sign or constant of a formula at a time: some test must notice
	$(PY) -m tests.mutants

bench: $(READY)  ## side-by-side timings (beside R where Rscript is installed)
	$(PY) -m benchmarks

clean:  ## remove the virtual environment and generated reports
	rm -rf $(VENV) $(LOWEST) reports/generated docs/_source docs/_site
