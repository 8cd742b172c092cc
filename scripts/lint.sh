#!/usr/bin/env bash
# Runs all linters, each to its end, and prints the seconds of each; fails if one of them fails.
# Needs the environment that `scripts/setup.sh test` makes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=.venv/bin
failed=()

stage() {
  local name=$1 started=$SECONDS
  shift
  printf '== %s\n' "$name"
  if "$@"; then
    printf '== %s: clean, %d s\n' "$name" $((SECONDS - started))
  else
    failed+=("$name")
    printf '== %s: NOT clean, %d s\n' "$name" $((SECONDS - started))
  fi
}

stage "ruff check" $BIN/ruff check .
stage "ruff format" $BIN/ruff format --check .
stage "types (mypy)" $BIN/mypy
stage "import rules (lint-imports)" $BIN/lint-imports
stage "Dockerfile (hadolint)" $BIN/hadolint Dockerfile tests/compose/stand_ins/*.Dockerfile
stage "compose file (compose-lint)" $BIN/compose-lint check --config scripts/compose-lint.yml --strict-config \
  --skip-suppressed --no-env --fail-on low docker-compose.yml
stage "shell scripts (shellcheck)" $BIN/shellcheck --severity=style scripts/*.sh tests/compose/stand_ins/*.sh \
  .ci/run

if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: not clean: %s\n' "$(IFS=,; printf '%s' "${failed[*]}")" >&2
  exit 1
fi
printf 'lint: all clean, %d s\n' "$SECONDS"
