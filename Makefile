# Each target sets up what it needs; a second run starts at once. ARGS="…" is passed on to the command.
# PYTHON=… names another interpreter (3.11 or newer); TORCH_INDEX_URL=… another source of PyTorch.
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint bench serve
ARGS ?=
export PYTHON TORCH_INDEX_URL

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## watch the loop in a real Label Studio (ARGS="--rounds 2 --exit --report r.json")
	@scripts/setup.sh run label-studio
	@.venv/bin/dsal demo $(ARGS)

test: ## run every test, two at a time (ARGS="tests/model -k dice"; ARGS="-n 0 --pdb" one at a time)
	@scripts/setup.sh test label-studio chromium
	@.venv/bin/pytest --numprocesses 2 $(ARGS)

test-fast: ## run in 3 minutes what needs neither Label Studio nor Chromium nor long (ARGS="-k dice")
	@scripts/setup.sh test
	@.venv/bin/pytest --numprocesses 2 -m "not label_studio and not browser and not slow" $(ARGS)

lint: ## run every linter and the type checker
	@scripts/setup.sh test
	@scripts/lint.sh

bench: ## run every benchmark; each prints a table of ratios
	@scripts/setup.sh test label-studio
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; .venv/bin/python "$$script" $(ARGS); done

serve: ## start the backend alone, on PORT or 9090
	@scripts/setup.sh run
	@.venv/bin/dsal serve $(ARGS)
