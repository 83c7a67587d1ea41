#!/usr/bin/env bash
# Makes .venv with everything pinned by constraints.txt. Does nothing when it is up to date.
#   scripts/setup.sh        what `r2s` needs
#   scripts/setup.sh dev    and what the tests and checks need
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

level=${1:-run}
build_tools="hatchling editables"
dev_tools="pytest pytest-xdist ruff uv pyright[nodejs] jsonschema chex tensorboardX scikit-image warp-lang onnx onnxruntime opencv-contrib-python-headless mcap-ros2-support ruckig"
# Wheels of it are for this alone; without it, its tests are skipped.
if [[ $(uname -sm) == "Linux x86_64" ]]; then dev_tools="$dev_tools franka-rs"; fi
venv=.venv
stamp=$venv/r2s-setup-$level
marker=$venv/r2s-setup-unfinished

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# Every package of this repository, core first.
packages=()
for folder in r2s_core r2s_envs/objects r2s_envs/* r2s_algos/* r2s_randomization/* r2s plugins/r2s-*; do
  if [[ -f $folder/pyproject.toml && " ${packages[*]:-} " != *" $folder "* ]]; then
    packages+=("$folder")
  fi
done

# What the stamp must say: where this is, and everything that decides what gets installed.
wanted() {
  pwd
  cat scripts/setup.sh constraints.txt
  for folder in "${packages[@]}"; do cat "$folder/pyproject.toml"; done
}
wanted=$(wanted | cksum)
place=$venv/r2s-place  # the folder that .venv was made in: its scripts name that one for ever
was_moved() { [[ ! -f $place || $(cat "$place") != "$(pwd -P)" ]]; }
if [[ -f $stamp && $(cat "$stamp") == "$wanted" && -x $venv/bin/python && ! -e $marker ]]; then
  exit 0
fi

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  while read -r candidate; do
    # An activated .venv comes first on the PATH, and it is the one that is about to be replaced.
    if [[ $candidate != "$PWD/$venv/"* ]] && is_new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
  done < <(type -aP ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11)
  local found="none"
  if command -v python3 >/dev/null; then found=$(python3 --version 2>&1); fi
  fail "r2s needs Python 3.11 or newer, but found $found;" \
    "install one (Debian, Ubuntu: apt-get install python3) or say PYTHON=/path/to/python3.12 make ..."
}

# Debian's Python lacks venv until its package is installed.
make_venv() {
  local python=$1 version
  rm -rf "$venv"
  if "$python" -m venv "$venv" >/dev/null 2>&1; then return; fi
  rm -rf "$venv"
  version=$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")')
  local sudo=""
  if [[ $(id -u) != 0 ]]; then sudo="sudo -n"; fi
  if command -v apt-get >/dev/null && { [[ -z $sudo ]] || $sudo true 2>/dev/null; }; then
    say "installing $version, which $python needs to make a virtual environment"
    $sudo apt-get update -qq || true
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$version" >/dev/null || true
  fi
  "$python" -m venv "$venv" >/dev/null || {
    rm -rf "$venv"
    fail "$python cannot make a virtual environment; install $version (apt-get install $version)" \
      "and run this again"
  }
}

# A venv that was interrupted, moved or copied from elsewhere, or has lost its Python is made anew.
if [[ -e $marker || ! -x $venv/bin/python ]] || was_moved || ! is_new_enough "$venv/bin/python" ||
  ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  python=$(find_python)
  say "making $venv with $("$python" --version) ($python)"
  make_venv "$python"
  pwd -P >"$place"
fi

pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)
editable=()
for folder in "${packages[@]}"; do editable+=(-e "$folder"); done
tools=$build_tools
if [[ $level == dev ]]; then tools="$tools $dev_tools"; fi

say "installing what constraints.txt pins (the first time this takes some minutes)"
touch "$marker"
# The build tools come first: they are pinned too, and no package then fetches its own.
# shellcheck disable=SC2086  # a list of words
"${pip[@]}" install -c constraints.txt $tools ||
  fail "pip could not install $tools; see its message above (is the network up?), then run this again"
"${pip[@]}" install -c constraints.txt --no-build-isolation "${editable[@]}" ||
  fail "pip could not install r2s; see its message above, then run this again"
rm -f "$marker" "$venv"/r2s-setup-*
echo "$wanted" >"$stamp"
if [[ $level == dev ]]; then echo "$wanted" >"$venv/r2s-setup-run"; fi
say "done"
