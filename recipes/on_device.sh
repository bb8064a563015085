#!/bin/sh
# Train on a lent accelerator: unpack, train against the clock, evaluate, write parts into $OUT (default device/out).
# All that travels is src, recipes and device (recipes/on_device.py pack): leave models and samples behind. Rehearsal on a
# CPU, of the net that is trained there:
#   sh recipes/on_device.sh --seconds 40 --workers 1 --rows 1 --valid 1 --show 4
set -e
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD/src" OMP_NUM_THREADS=1
exec "${PYTHON:-python3}" recipes/on_device.py train "$@"
