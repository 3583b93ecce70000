#!/usr/bin/env bash
# What it costs to deliver a tick, beside others. Arguments go to the program:
# benches/fanout.sh --seconds 5 --python /path/to/python (with the package websockets).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p strikewire-benches --bins
ulimit -n 16384
exec "${CARGO_TARGET_DIR:-target}/release/fanout" run "$@"
