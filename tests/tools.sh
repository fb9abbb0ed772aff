# shellcheck shell=bash
# Sourced by tests/run and .ci/run: puts in place, outside the checkout, what the checks need and
# the machine lacks. Nothing here is skipped: what cannot be had ends the run.

shopt -s inherit_errexit # a failure inside $(..) is a failure
cache=${XDG_CACHE_HOME:-${HOME:?HOME is unset: set it, or XDG_CACHE_HOME}/.cache}/curfew
mkdir -p "$cache"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

die() {
  echo "$0: $*" >&2
  exit 1
}

# need PACKAGE COMMAND...: installs a Debian package unless the command succeeds.
need() {
  local package=$1
  shift
  if "$@" >/dev/null 2>&1; then return; fi
  local root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || die "'$*' fails; install the Debian package $package"
    root=(sudo -n)
  fi
  echo "installing the Debian package $package"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
  "$@" >/dev/null 2>&1 || die "'$*' still fails after installing the Debian package $package"
}

# need_rust: the toolchain is the one thing that is not installed for you.
need_rust() {
  command -v cargo >/dev/null || die "cargo is missing: install Rust, at least the rust-version of Cargo.toml"
  need build-essential cc --version # a linker, and the C of ring and SQLite
}

# python_with FILE: prints the Python of a virtual environment that holds what a requirements file lists.
python_with() {
  need python3-venv python3 -c 'import ensurepip, venv' >&2
  local home
  home=$cache/python-$(sha256sum "$1" | cut -c1-16)
  (
    flock 9 # two runs may start at once
    if [ ! -e "$home/complete" ]; then
      rm -rf "$home"
      python3 -m venv "$home"
      "$home/bin/pip" install --quiet --disable-pip-version-check --requirement "$1" >&2
      touch "$home/complete"
    fi
  ) 9>"$cache/lock"
  echo "$home/bin/python"
}

# node_with FILE: prints a folder in which npm has installed what a package.json names.
node_with() {
  local home
  home=$cache/node-$(sha256sum "$1" | cut -c1-16)
  (
    flock 9
    if [ ! -e "$home/complete" ]; then
      rm -rf "$home"
      mkdir -p "$home"
      cp "$1" "$home/package.json"
      npm install --silent --no-audit --no-fund --prefix "$home" >&2
      touch "$home/complete"
    fi
  ) 9>"$cache/lock"
  echo "$home"
}
