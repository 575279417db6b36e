#!/usr/bin/env bash
# Prepares the toolchain (Python packages, anvil, Uniswap and Aave bytecode) and then runs the command given, if any, in it.
#
#   scripts/bootstrap.sh                      install only
#   scripts/bootstrap.sh pytest tests/unit    install if needed, then run
#
# Needs Python 3.11 or 3.12, Node >= 20 and npm. A warm call costs a few milliseconds: a stamp of the lock files is compared.
set -euo pipefail

UV_VERSION=0.13.9
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() { printf 'ballast: %s\n' "$*" >&2; exit 1; }

find_python() {
  local name
  for name in ${BALLAST_PYTHON:-} python3 python3.11 python3.12 python; do
    "$name" -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 12); print(sys.executable)' 2>/dev/null && return 0
  done
  fail "Python 3.11 or 3.12 is needed (set BALLAST_PYTHON to its path)"
}

stamp_of() { (cd "$root" && cat pyproject.toml uv.lock package-lock.json scripts/bootstrap.sh | cksum); }

is_ready() {
  [ -x "$root/.venv/bin/python" ] && [ -d "$root/node_modules/@uniswap" ] && [ -d "$root/node_modules/@aave" ] \
    && [ -d "$root/node_modules/@pythnetwork" ] \
    && [ "$(cat "$root/.venv/.ballast-stamp" 2>/dev/null)" = "$(stamp_of)" ]
}

install() {
  local python
  python=$(find_python)
  if ! "$root/.tools/bin/uv" --version 2>/dev/null | grep -q "^uv $UV_VERSION"; then
    printf 'ballast: installing uv %s\n' "$UV_VERSION" >&2
    "$python" -m venv "$root/.tools"
    "$root/.tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
  fi
  printf 'ballast: installing Python packages\n' >&2
  # The second attempt serves machines whose certificates live in the system store alone.
  (cd "$root" && "$root/.tools/bin/uv" sync --locked --quiet --python "$python" 2>/dev/null) \
    || (cd "$root" && UV_SYSTEM_CERTS=1 "$root/.tools/bin/uv" sync --locked --quiet --python "$python")

  command -v npm >/dev/null || fail "npm (Node >= 20) is needed for anvil and the Uniswap and Aave artifacts"
  printf 'ballast: installing anvil, Uniswap and Aave artifacts\n' >&2
  (cd "$root" && npm ci --silent --ignore-scripts --no-audit --no-fund)
  if [ ! -x "$root/node_modules/.bin/anvil" ] && ! command -v anvil >/dev/null; then
    fail "anvil is packaged here for linux-amd64 only and this is $(uname -sm): install Foundry (getfoundry.sh)" \
      "so that 'anvil' is on PATH, then run again"
  fi
  stamp_of >"$root/.venv/.ballast-stamp"
}

# ape and vvm need a home that exists; uv must neither download a Python nor touch another environment.
if [ ! -d "${HOME:-}" ]; then mkdir -p "$root/.build/home"; export HOME="$root/.build/home"; fi
unset PYTHONDONTWRITEBYTECODE VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
export UV_PYTHON_DOWNLOADS=never

if ! is_ready; then
  if command -v flock >/dev/null; then
    exec 9>"$root/.bootstrap.lock"
    flock 9
  fi
  is_ready || install
  exec 9>&- || true
fi

[ $# -eq 0 ] && exit 0
export PATH="$root/.venv/bin:$root/node_modules/.bin:$root/.tools/bin:$PATH"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$@"
