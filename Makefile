# Two commands matter: `make run` starts everything, `make test` proves it. Both set up what they need.
.PHONY: run test test-long lint format setup

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

setup:
	@bin/setup
