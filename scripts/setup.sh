#!/usr/bin/env bash
# Installs what a make target needs, unless it is already there.
#
#   scripts/setup.sh PART...      PART: run | test | label-studio | chromium | audit
#
# An environment has a stamp: a hash of its requirement files, its Python and its path. The stamp is removed
# first and written last, so that an interrupted set-up is recognised and started again.
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

# The interpreter for new environments: PYTHON if given, else python3.11, else a python3 that is new enough.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3}; do
    if new_enough "$candidate"; then
      printf '%s' "$candidate"
      return
    fi
  done
  if [ -n "${PYTHON:-}" ]; then
    fail "PYTHON=$PYTHON is not Python 3.11 or newer: give another one, or leave PYTHON unset."
  fi
  fail "Python 3.11 is missing: install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) and run make again."
}

# The interpreter of an existing environment, unless PYTHON asks for another one.
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
    fail "Python $version cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python$version-venv) and run make again."
}

# Hash of everything that the environment depends on. Arguments: directory, files...
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

# Run a command with its output in a log, of which the end is printed if it fails.
# Arguments: log, sentence, command...
step() {
  local log=$1 sentence=$2 started=$SECONDS
  shift 2
  say "$sentence …"
  if ! "$@" >>"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    fail "this step failed: $sentence (log: $log); fix the error shown above and run make again."
  fi
  say "$sentence: done in $((SECONDS - started)) s"
}

# Whether a stamp is up to date. Arguments: directory, stamp name, requirement files...
fresh() {
  local directory=$1 stamp=$1/.setup/$2
  shift 2
  [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "$directory" "$@")" ]
}

# Create or update an environment. Arguments: directory, stamp name, how long it takes, requirement files...
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

# Delete the environment unless its last set-up was completed, at this path and with this Python.
clear_unless_usable() {
  local directory=$1 python
  if [ -e "$directory/.setup/unfinished" ]; then
    say "$directory is incomplete: making it again"
  else
    python=$(python_for "$directory")
    [ "$(cat "$directory/.setup/made-by" 2>/dev/null || true)" = "$(made_by "$directory" "$python")" ] && return
    if [ -e "$directory/bin" ]; then
      say "$directory was made at another path or with another Python: making it again"
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
    step "$log" "Chromium for the browser tests: updating the package lists" apt-get update
    step "$log" "Chromium for the browser tests: installing it (about 1 minute)" \
      env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium
    rm -f "$log"
    return
  fi
  fail "The browser tests need Chromium: install it (Debian: sudo apt-get install chromium) and run make again."
}

part() {
  local running=(requirements.txt pyproject.toml)
  local testing=("${running[@]}" requirements-dev.txt requirements-openvino.txt requirements-dicom.txt
    requirements-experiment.txt requirements-onnx.txt)
  case $1 in
    run)
      # An environment for the tests has everything that running needs.
      if ! fresh .venv test "${testing[@]}"; then environment .venv run "1–5 minutes" "${running[@]}"; fi
      ;;
    test) environment .venv test "1–5 minutes" "${testing[@]}" ;;
    label-studio) environment .venv-label-studio run "1–3 minutes" requirements-label-studio.txt ;;
    chromium) install_chromium ;;
    audit) environment .venv-audit run "about 15 seconds" requirements-audit.txt ;;
    *) fail "there is no part called $1; give run, test, label-studio, chromium or audit." ;;
  esac
}

main() {
  local name pids=() status=0
  [ $# -gt 0 ] || fail "give what to install: run, test, label-studio, chromium or audit."
  find_python >/dev/null
  # Background jobs of a script ignore SIGINT, so Ctrl-C is passed on to them as SIGTERM.
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
