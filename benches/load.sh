#!/usr/bin/env bash
# The load run: builds the server and the load, and runs the server on core 0 and the feed
# with a thousand stream clients on core 1, for ten minutes. Arguments go to the load:
# benches/load.sh --seconds 20, benches/load.sh --reads 2000, benches/load.sh --help.
#
# The real instrument master is used when STRIKEWIRE_REAL_DATA names its folder.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p strikewired -p strikewire-benches --bins
# A thousand clients are a thousand files on each side.
ulimit -n 16384
target="${CARGO_TARGET_DIR:-target}/release"
exec taskset --cpu-list 1 "$target/load" --server "$target/strikewired" --core 0 "$@"
