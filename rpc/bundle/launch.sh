#!/bin/sh
# `run` and `serve` of a bundle: finds the folder in which it lies, through links, and the Python to use.
self=$(readlink -f -- "$0") || exit 1
here=${self%/*}
program=${self##*/}
if [ ! -f "$here/model.py" ]; then
  printf '%s: %s was taken out of its bundle; link to it instead of copying it\n' "$program" "$self" >&2
  exit 1
fi
for python in @PYTHONS@; do
  if command -v "$python" >/dev/null 2>&1; then
    exec "$python" -I -S "$here/model.py" "$program" "$@"
  fi
done
printf '%s: there is no Python here; this bundle needs Python @VERSION@, install it\n' "$program" >&2
exit 1
