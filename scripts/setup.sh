#!/usr/bin/env bash
# Prepare what a make target needs, and nothing twice.
#
#   scripts/setup.sh PART...      PART: run | test | label-studio | chromium
#
# An environment carries a stamp: a hash of its requirement files, its Python and its place. The stamp is
# removed before anything is touched and written last, so an interrupted set-up is seen and started afresh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly OLDEST_PYTHON="(3, 11)"
readonly BROWSERS="chromium chromium-browser google-chrome"

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

say() {
  printf 'setup: %s\n' "$1"
}

new_enough() {
  "$1" -c "import sys; sys.exit(sys.version_info < $OLDEST_PYTHON)" 2>/dev/null
}

# The interpreter to build with: PYTHON when given, else python3.11, else any python3 that is new enough.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3}; do
    if new_enough "$candidate"; then
      printf '%s' "$candidate"
      return
    fi
  done
  if [ -n "${PYTHON:-}" ]; then
    fail "PYTHON=$PYTHON is not a Python 3.11 or newer: name one that is, or leave PYTHON unset."
  fi
  fail "Python 3.11 is missing: install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) and run make again."
}

# The interpreter that an environment has, unless another is asked for: what it was made with stays good.
python_for() {
  if [ -z "${PYTHON:-}" ] && new_enough "$1/bin/python"; then
    printf '%s' "$1/bin/python"
  else
    find_python
  fi
}

require_venv_module() {
  local version
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python $version cannot make environments: install its venv module (Debian, Ubuntu: apt-get install python$version-venv) and run make again."
}

# What the environment depends on; any difference makes it stale. Arguments: directory, files...
fingerprint() {
  local directory=$1 python
  python=$(python_for "$directory")
  shift
  "$python" - "$PWD/$directory" "${TORCH_INDEX_URL:-}" "$@" <<'PYTHON'
import hashlib, pathlib, sys
place, index, *files = sys.argv[1:]
digest = hashlib.sha256(repr((sys.version, place, index)).encode())
for name in files:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PYTHON
}

# Run a quiet step: one line before, one after; its output goes to a log that is quoted when it fails.
# Arguments: log, sentence, command...
step() {
  local log=$1 sentence=$2 started=$SECONDS
  shift 2
  say "$sentence …"
  if ! "$@" >>"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    fail "this step failed: $sentence (whole log: $log); mend what the lines above say and run make again."
  fi
  say "$sentence: done in $((SECONDS - started)) s"
}

# Is the stamp of this name up to date? Arguments: directory, stamp name, requirement files...
fresh() {
  local directory=$1 stamp=$1/.setup/$2
  shift 2
  [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "$directory" "$@")" ]
}

# Build or complete one environment. Arguments: directory, stamp name, how long it takes, requirement files...
environment() {
  local directory=$1 name=$2 duration=$3
  shift 3
  if fresh "$directory" "$name" "$@"; then return; fi

  mkdir -p "$directory"
  if command -v flock >/dev/null; then
    exec 9>"$directory/.lock"
    flock 9
    if fresh "$directory" "$name" "$@"; then return; fi
  fi
  clear_unless_usable "$directory"
  mkdir -p "$directory/.setup"
  touch "$directory/.setup/unfinished"
  rm -f "$directory/.setup/$name"
  install_into "$directory" "$duration" "$@"
  fingerprint "$directory" "$@" >"$directory/.setup/$name"
  rm -f "$directory/.setup/unfinished"
}

# Keep an environment only if its last set-up ended, in this very place and with this very Python.
clear_unless_usable() {
  local directory=$1 python
  if [ -e "$directory/.setup/unfinished" ]; then
    say "$directory was left half made: starting it afresh"
  else
    python=$(python_for "$directory")
    [ "$(cat "$directory/.setup/made-by" 2>/dev/null || true)" = "$(made_by "$directory" "$python")" ] && return
    if [ -e "$directory/bin" ]; then
      say "$directory was made elsewhere or with another Python: starting it afresh"
    fi
  fi
  find "$directory" -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} +
}

made_by() {
  printf '%s %s' "$PWD/$1" "$("$2" -c 'import sys; print(sys.version)')"
}

install_into() {
  local directory=$1 duration=$2 log=$1/.setup/log files=() names="" file python
  shift 2
  for file in "$@"; do
    case $file in
      requirements*.txt)
        files+=(-r "$file")
        names+=" $file"
        ;;
    esac
  done
  local pip=("$directory/bin/python" -m pip --disable-pip-version-check --no-input)
  if [ ! -e "$directory/.setup/made-by" ]; then
    python=$(find_python)
    require_venv_module "$python"
    step "$log" "$directory: making an environment with $python" "$python" -m venv "$directory"
    made_by "$directory" "$python" >"$directory/.setup/made-by"
  fi
  if [ -n "${TORCH_INDEX_URL:-}" ] && [ "$directory" = .venv ]; then
    step "$log" "$directory: installing PyTorch from TORCH_INDEX_URL" \
      "${pip[@]}" install --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' requirements.txt)"
  fi
  step "$log" "$directory: installing$names ($duration)" "${pip[@]}" install "${files[@]}"
  if [ "$directory" = .venv ]; then
    step "$log" "$directory: linking dsal" "${pip[@]}" install --no-deps --no-build-isolation --editable .
  fi
}

install_chromium() {
  local name
  for name in $BROWSERS; do
    command -v "$name" >/dev/null && return
  done
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    local log
    log=$(mktemp)
    step "$log" "Chromium for the browser tests: reading Debian's package lists" apt-get update
    step "$log" "Chromium for the browser tests: installing it (about 1 minute)" \
      env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium
    rm -f "$log"
    return
  fi
  fail "Chromium is missing, and the browser tests need it: install it (Debian: sudo apt-get install chromium) and run make again."
}

part() {
  local running=(requirements.txt pyproject.toml)
  local testing=("${running[@]}" requirements-dev.txt requirements-openvino.txt requirements-experiment.txt)
  case $1 in
    run)
      # An environment made for the tests holds all that running needs.
      if ! fresh .venv test "${testing[@]}"; then environment .venv run "1–5 minutes" "${running[@]}"; fi
      ;;
    test) environment .venv test "1–5 minutes" "${testing[@]}" ;;
    label-studio) environment .venv-label-studio run "1–3 minutes" requirements-label-studio.txt ;;
    chromium) install_chromium ;;
    *) fail "there is no part called $1; the parts are run, test, label-studio and chromium." ;;
  esac
}

main() {
  local name pids=() status=0
  [ $# -gt 0 ] || fail "name what to prepare: run, test, label-studio or chromium."
  find_python >/dev/null
  # Background jobs of a script ignore Ctrl-C, so it is passed on to the group by another signal.
  trap 'trap - TERM; kill -TERM 0' INT
  for name in "$@"; do
    part "$name" &
    pids+=($!)
  done
  for name in "${pids[@]}"; do
    wait "$name" || status=1
  done
  return "$status"
}

main "$@"
