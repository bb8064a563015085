#!/bin/sh
# Train on a lent accelerator: unpack, train against the clock, evaluate, write parts into $OUT (default device/out).
# All that travels is the tracked source and device/shards.xz (`make device-shards`), under 64 MiB. Rehearsal on a CPU:
#   sh recipes/on_device.sh --seconds 20 --workers 1 --width 64 --layers 2 --heads 2 --rows 2 --length 256 --valid 1 --show 4
set -e
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD/src" OMP_NUM_THREADS=1
exec "${PYTHON:-python3}" recipes/on_device.py train "$@"
