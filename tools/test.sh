#!/usr/bin/env bash
# Installs what the tests need, then runs them all. Needs: rustup's cargo (rust-toolchain.toml names the version).
# Everything it downloads comes from crates.io; nothing is written outside target/.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "dependencies"
cargo fetch --locked

step "formatting"
cargo fmt --check

step "lints"
cargo clippy --locked --all-targets -- -D warnings
cargo clippy --locked --no-default-features --lib -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet

step "benchmarks build and run once"
cargo bench --locked --benches -- --test >/dev/null

step "tests"
cargo test --locked
