#!/usr/bin/env bash
# Looks up every pinned package in a database of known vulnerabilities; fails if one of them has any. Needs the
# environment that `scripts/setup.sh audit` makes. Does nothing but say so where that database does not answer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A release that is known to be vulnerable: if that is not found, nothing else would be.
readonly VULNERABLE="requests==2.19.0"

audit() {
  .venv-audit/bin/pip-audit --progress-spinner off --strict --disable-pip --no-deps --timeout 10 "$@"
}

probe=$(mktemp)
trap 'rm -f "$probe"' EXIT
echo "$VULNERABLE" >"$probe"
if ! audit --requirement "$probe" 2>&1 | grep -Eq '^requests .*(PYSEC|GHSA|CVE)-'; then
  printf 'audit: skipped: the database of vulnerabilities that pip-audit asks does not answer here.\n'
  exit 0
fi

status=0
for file in requirements*.txt; do
  printf '== %s\n' "$file"
  audit --requirement "$file" || status=1
done
exit "$status"
