# Two commands matter: `make run` starts everything, `make test` proves it. Both set up what they need.
.PHONY: run test test-long lint format screenshots docs setup

# exec, so that a signal to make reaches the supervisor itself.
run:
	@bin/setup && exec .venv/bin/python manage.py up --parent $$PPID

test:
	@bin/setup && exec bin/test

test-long:
	@bin/setup && exec bin/test --long

lint:
	@bin/setup && exec bin/test --lint

format:
	@bin/setup && .venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

# A picture of every page under var/screens; see bench/screenshots.py.
screenshots:
	@bin/setup && exec .venv/bin/python -m bench.screenshots

# The site goes into site/; what a link names and is not there ends it.
docs:
	@bin/setup && .venv/bin/zensical build --clean --strict

setup:
	@bin/setup
