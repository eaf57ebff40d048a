#!/usr/bin/env bash
# Makes .venv ready: finds (or installs) Python and a compiler, then runs make_environment.py.
#
# PYTHON=/path/to/python3.13 chooses the interpreter. Exit codes: 0 ready, 2 something is missing
# that only an administrator can install (the command is printed), 1 anything else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What the ROS wheels and all pinned libraries exist for; the best tried first, and 3.10 last, for
# which newer releases of some libraries do not exist.
versions="3.11 3.12 3.13 3.14 3.10"
supported="Python 3.10 to 3.14 with venv, pip and headers"

# A path in PATH may be a shim that exists and does not run, and Debian's Python comes without venv
# and without headers, so ask each candidate for what will be needed.
python_version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

python_supported() {
  local version
  version="$(python_version "$1")"
  [ -n "$version" ] && [[ " $versions " == *" $version "* ]]
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
  local version
  for version in $versions ""; do
    type -ap "python${version:-3}" || true
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

distribution_python() { # prints the version of Debian's or Ubuntu's package python3, like 3.13
  local name value
  while read -r name value; do
    if [[ "$name" == Version: && "$value" =~ ^(3\.[0-9]+) ]]; then
      echo "${BASH_REMATCH[1]}"
      return
    fi
  done < <(apt-cache show python3 2>/dev/null || true)
}

packages_for_python() { # the Debian packages that make a supported Python complete
  local partial version found=""
  partial="$(find_python python_supported)"
  if [[ "$partial" == /usr/bin/* ]]; then # lacks venv or headers only
    found="$(python_version "$partial")"
  else
    for version in $(distribution_python) $versions; do
      if [[ " $versions " == *" $version "* ]] &&
        apt-cache show "python$version" >/dev/null 2>&1; then
        found="$version"
        break
      fi
    done
  fi
  found="${found:-3.11}"
  echo "python$found python$found-venv python$found-dev"
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
    give_up "PYTHON=$PYTHON is not a $supported" "unset PYTHON"
  fi
  if command -v apt-get >/dev/null; then apt_update_once; fi
  # shellcheck disable=SC2046 # one word per package
  install_missing "no $supported" $(packages_for_python)
  python="$(find_python python_complete)"
  [ -n "$python" ] || give_up "Python is still not usable after its installation" \
    "PYTHON=/path/to/python3.13 make setup"
fi
has_compiler || install_missing "no C++ compiler" g++

# An environment belongs to one checkout: made anew for this one, that of the other would be lost.
if [ -L .venv ]; then
  give_up ".venv is a link to the environment of another checkout" \
    "rm .venv   # or make setup there"
fi
exec "$python" scripts/make_environment.py
