# `make book` and `make test` set up everything they need, in .venv, and need no root.
#   PYTHON       the Python to use (3.10 to 3.13; otherwise the first one found)
#   TORCH_INDEX  an index to take torch from, such as PyTorch's own for builds without CUDA (see README.md)
#   PROFILE, JOBS, DATASET, DATA_DIR   what the book is built from;  PLAN  the sweep to run;  PYTEST  further options
VENV        ?= .venv
PYTHON      ?=
TORCH_INDEX ?=
PROFILE     ?= quick
JOBS        ?= 2
DATASET     ?=
DATA_DIR    ?=
PLAN        ?=
PYTEST      ?=

BIN       := $(VENV)/bin
ANY_PYTHON = $(or $(PYTHON),$(shell command -v python3 || command -v python))
# for `make lowest`: old packages warn of what has come since, and are not those of requirements.lock
OLD        = $(foreach kind,Deprecation PendingDeprecation Future,-W ignore::$(kind)Warning) \
             --deselect tests/test_environment.py::test_the_lock_holds_all_that_its_packages_need
BOOK_DATA  = $(if $(DATASET),--dataset $(DATASET)) $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")

.DEFAULT_GOAL := help
.PHONY: help setup book test lint format sweep bench ledger lock lowest clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## the environment: .venv with everything that requirements.lock names
	@test -n "$(ANY_PYTHON)" || { echo "set-up: no Python found. Debian, Ubuntu: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@"$(ANY_PYTHON)" scripts/set_up.py --venv "$(VENV)" $(if $(PYTHON),--python "$(PYTHON)") $(if $(TORCH_INDEX),--torch-index "$(TORCH_INDEX)")

book: setup ## the book, in _build/html: every chapter executed, synthetic faces (PROFILE=quick)
	"$(BIN)/fer-repro" book --profile $(PROFILE) --jobs $(JOBS) $(BOOK_DATA)

test: setup ## the tests (PYTEST="-k lda" for some of them)
	OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -n $(JOBS) --dist worksteal $(PYTEST)

lint: setup ## ruff and mypy
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"

format: setup ## bring the code into ruff's form
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

sweep: setup ## every run of a plan that has no record yet (PLAN=plans/NAME.toml)
	@test -n "$(PLAN)" || { echo "wanted: make sweep PLAN=plans/NAME.toml, one of: $(wildcard plans/*.toml)" >&2; exit 1; }
	"$(BIN)/fer-repro" sweep "$(PLAN)" $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")

bench: setup ## speed and memory beside what one would write or pick otherwise
	for script in benchmarks/[a-z]*.py; do echo "== $$script"; "$(BIN)/python" $$script || exit 1; done

ledger: setup ## every claim of the paper with its verdict; rewrites the findings in README.md
	"$(BIN)/fer-repro" ledger --write

lock: setup ## write requirements.lock anew from pyproject.toml (needs a package index)
	"$(BIN)/python" -m pip install --quiet uv
	"$(BIN)/uv" pip compile --quiet --upgrade --universal --python-version 3.10 --extra test --no-annotate --no-header pyproject.toml --output-file requirements.lock
	sed -i '1i # Every package, direct and indirect, for Python 3.10 to 3.13. Written by `make lock` from pyproject.toml.' requirements.lock

lowest: setup ## the tests under the oldest packages that pyproject.toml allows (fetches some 3 GB; Python 3.10 to 3.12)
	"$(BIN)/python" -m pip install --quiet uv
	"$(BIN)/uv" --no-config venv --quiet --allow-existing --python "$(BIN)/python" "$(VENV)-lowest"
	"$(BIN)/uv" --no-config pip install --quiet --python "$(VENV)-lowest" --resolution lowest-direct --editable ".[test]"
	OMP_NUM_THREADS=1 "$(VENV)-lowest/bin/python" -m pytest -n $(JOBS) --dist worksteal $(OLD) $(PYTEST)

clean: ## what was built; records in results/ and the environment stay
	rm -rf _build book/_build book/notebooks .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
