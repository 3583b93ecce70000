#!/usr/bin/env bash
# Reads of a chain beside reads of a static body: the server on core 0, feed and readers on
# core 1. Arguments go to the reader: benches/reads.sh --help.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p strikewire-benches --bins
exec taskset --cpu-list 1 "${CARGO_TARGET_DIR:-target}/release/reads" drive "$@"
