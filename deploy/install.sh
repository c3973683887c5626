#!/bin/sh
# Install packages into .venv, with pip's options: `deploy/install.sh --require-hashes -r requirements-build.lock`.
#
# uv loads and unpacks them in parallel, in a fraction of pip's time.  Where it cannot be had or finds no packages, as
# where only pip is configured for an index or a certificate, pip installs them.  Every 2 s a line tells how much has
# been written, also into a pipe.
set -eu

bin=.venv/bin
log=.venv/install.log

with_progress() {
  "$@" >"$log" 2>&1 &
  job=$!
  tenths=0
  while sleep 0.1 && kill -0 "$job" 2>/dev/null; do
    tenths=$((tenths + 1))
    [ $((tenths % 20)) -ne 0 ] || say "$((tenths / 10))" "$(sed -n 's/^wchar: //p' "/proc/$job/io" 2>/dev/null)"
  done
  wait "$job"
}

say() {
  echo "      $1 s${2:+, $(($2 / 1000000)) MB unpacked}"
}

with_uv() {
  "$bin/uv" --version >/dev/null 2>&1 || return 1
  with_progress "$bin/uv" pip install --python "$bin/python" --compile-bytecode \
    ${PIP_INDEX_URL:+--default-index "$PIP_INDEX_URL"} "$@"
}

with_pip() {
  "$bin/python" -m pip --version >"$log" 2>&1 || "$bin/python" -m ensurepip >"$log" 2>&1 || return 1
  with_progress "$bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@"
}

with_uv "$@" || with_pip "$@" || { cat "$log" >&2; exit 1; }
