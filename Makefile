# Each target first installs what it needs, if it is missing. ARGS="…" is passed on to the command.
# PYTHON=… sets another interpreter (3.11 or newer); TORCH_INDEX_URL=… another package index for PyTorch.
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-compose lint docs audit bench serve
ARGS ?=
export PYTHON TORCH_INDEX_URL

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## run the loop in a real Label Studio (ARGS="--rounds 2 --exit --report r.json")
	@scripts/setup.sh run label-studio
	@.venv/bin/dsal demo $(ARGS)

test: ## run all tests, two at a time (ARGS="tests/model -k dice"; ARGS="-n 0 --pdb" for one at a time)
	@scripts/setup.sh test label-studio chromium
	@.venv/bin/pytest --numprocesses 2 --max-worker-restart 0 $(ARGS)

test-fast: ## run the tests that need no Label Studio, Chromium or PostgreSQL and no long training
	@scripts/setup.sh test
	@.venv/bin/pytest --numprocesses 2 --max-worker-restart 0 -m "not label_studio and not browser and not postgresql and not slow" $(ARGS)

test-compose: ## run the containers: up, update, kills, backup (needs a Docker engine; DSAL_COMPOSE_FROM=commit)
	@scripts/setup.sh test
	@.venv/bin/pytest --numprocesses 0 -m compose --exitfirst --capture=no --verbose tests/compose $(ARGS)

lint: ## run all linters and the type checker
	@scripts/setup.sh test
	@scripts/lint.sh

docs: ## make the site of all documents, site/index.html
	@scripts/setup.sh test
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build $(ARGS)

audit: ## look for known vulnerabilities in the pinned packages
	@scripts/setup.sh audit
	@scripts/audit.sh

bench: ## run all benchmarks; each prints a table of ratios
	@scripts/setup.sh test label-studio
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; .venv/bin/python "$$script" $(ARGS); done

serve: ## run the web service alone, on PORT or 9090
	@scripts/setup.sh run
	@.venv/bin/dsal serve $(ARGS)
