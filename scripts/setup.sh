#!/usr/bin/env bash
# Makes .venv ready: finds (or installs) Python and a compiler, then runs make_environment.py.
#
# PYTHON=/path/to/python3.12 chooses the interpreter. Exit codes: 0 ready, 2 something is missing
# that only an administrator can install (the command is printed), 1 anything else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A path in PATH may be a shim that exists and does not run, and Debian's Python comes without venv
# and without headers, so ask each candidate for what will be needed.
python_version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

python_supported() {
  case "$(python_version "$1")" in 3.11 | 3.12) return 0 ;; *) return 1 ;; esac
}

python_complete() {
  python_supported "$1" && "$1" - 2>/dev/null <<'PY'
import ensurepip, os, sys, sysconfig, venv
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
PY
}

candidates() {
  if [ -n "${PYTHON:-}" ]; then
    echo "$PYTHON"
    return
  fi
  local name
  for name in python3.11 python3.12 python3; do
    type -ap "$name" || true
  done
}

find_python() { # prints the first candidate that passes the test $1
  local candidate
  while read -r candidate; do
    if "$1" "$candidate"; then
      echo "$candidate"
      return
    fi
  done < <(candidates)
}

has_compiler() {
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null
}

packages_for_python() { # the Debian packages that make a supported Python complete
  local partial version
  partial="$(find_python python_supported)"
  case "$partial" in
    /usr/bin/*) version="$(python_version "$partial")" ;; # lacks venv or headers only
    *)
      version=3.11
      if ! apt-cache show python3.11 >/dev/null 2>&1 && apt-cache show python3.12 >/dev/null 2>&1; then
        version=3.12
      fi
      ;;
  esac
  echo "python$version python$version-venv python$version-dev"
}

give_up() { # $1: what is missing, $2: the command that helps
  echo "setup: $1" >&2
  echo "setup: run this, then try again:" >&2
  echo "  $2" >&2
  exit 2
}

apt_updated=""
apt_update_once() {
  if [ -z "$apt_updated" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq >/dev/null 2>&1 || true
    apt_updated=yes
  fi
}

install_missing() { # $1: what is missing; other arguments: Debian packages
  local what="$1"
  shift
  if ! command -v apt-get >/dev/null; then
    give_up "$what" "install with the package manager of this system what Debian calls: $*"
  fi
  local command="apt-get install -y --no-install-recommends $*"
  if [ "$(id -u)" != 0 ]; then
    give_up "$what" "sudo $command"
  fi
  echo "setup: $what; installing $*"
  apt_update_once
  if ! DEBIAN_FRONTEND=noninteractive $command -qq >/dev/null 2>&1; then
    give_up "$what, and apt-get could not install it" "apt-get update && $command"
  fi
}

export HOME="${HOME:-/tmp}"
python="$(find_python python_complete)"
if [ -z "$python" ]; then
  if [ -n "${PYTHON:-}" ]; then
    give_up "PYTHON=$PYTHON is not a Python 3.11 or 3.12 with venv, pip and headers" \
      "unset PYTHON"
  fi
  if command -v apt-get >/dev/null; then apt_update_once; fi
  # shellcheck disable=SC2046 # one word per package
  install_missing "no Python 3.11 or 3.12 with venv, pip and headers" $(packages_for_python)
  python="$(find_python python_complete)"
  [ -n "$python" ] || give_up "Python is still not usable after its installation" \
    "PYTHON=/path/to/python3.11 make setup"
fi
has_compiler || install_missing "no C++ compiler" g++

exec "$python" scripts/make_environment.py
