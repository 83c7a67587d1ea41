# What a user needs is `make run`; the rest is for who works on r2s. `make` alone lists it.
.PHONY: help run test check format bench venv constraints

CONFIG ?= quickstart

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

run:  ## train, evaluate and report; CONFIG=... and ARGS="key=value ..." change what
	@scripts/setup.sh
	@.venv/bin/r2s run $(CONFIG) $(ARGS)
	@command -v r2s >/dev/null || echo "To use r2s from here: source .venv/bin/activate" >&2

test:  ## all tests, on two cores; ARGS="-k name" for some
	@scripts/setup.sh dev
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check:  ## formatting, lint and types
	@scripts/setup.sh dev
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 .venv/bin/pyright --threads 2

format:  ## let ruff format and fix what it can
	@scripts/setup.sh dev
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

# These need arguments or packages of their own, or take half an hour; their first lines tell.
NOT_ALONE = %_standard.py %/gymnasium_tasks.py %/robustness.py %/seeds.py %/demonstrations.py \
  %/demonstrations_rl.py %/franka_loopback.py
BENCHMARKS ?= $(filter-out $(NOT_ALONE),$(sort $(wildcard benchmarks/*.py)))

bench:  ## run the benchmarks (minutes each); BENCHMARKS=benchmarks/NAME.py for one
	@scripts/setup.sh dev
	@set -e; for script in $(BENCHMARKS); do \
	  echo "== $$script"; .venv/bin/python $$script; done

venv:  ## set up .venv for development
	@scripts/setup.sh dev

constraints:  ## pin what .venv holds now
	@.venv/bin/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' > constraints.new
	@mv constraints.new constraints.txt
