#!/usr/bin/env bash
# Finds a CUDA toolkit >= 12, or installs the pinned one from PyPI under target/.
# The last line on stdout is the toolkit's root: the folder that holds bin/nvcc. All else goes to stderr.
#
#   tools/toolchain.sh            CUDA_HOME, CUDA_PATH, nvcc on PATH, /usr/local/cuda*, then the pinned one
#   tools/toolchain.sh --pinned   the pinned one, whatever the machine has (committed PTX is made with it)
#
# The pinned toolkit is NVIDIA's own wheels: proprietary, so downloaded (about 110 MB), never part of this
# repository. It needs python3 with venv, and gcc or clang as nvcc's host compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(
    nvidia-cuda-nvcc==13.0.88
    nvidia-nvvm==13.0.88
    nvidia-cuda-crt==13.0.88
    nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85
    nvidia-cuda-cuobjdump==13.2.78
    nvidia-cuda-nvdisasm==13.2.78
)
HOME_DIR="$PWD/target/toolchain"
PREFIX="$HOME_DIR/cuda-13.0.88"

say() { printf 'toolchain: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Prints the release ("12.4") of the toolkit at $1, or fails: no nvcc, no ptxas, or an nvcc that does not start.
release() {
    [[ -x "$1/bin/nvcc" && -x "$1/bin/ptxas" ]] || return 1
    "$1/bin/nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | grep -m1 .
}

# A candidate that is too old or broken is named on stderr, so nobody wonders why it was passed over.
accept() {
    local root="$1" from="$2" version
    [[ -n "$root" ]] || return 1
    if ! version="$(release "$root")"; then
        say "$from: no working nvcc and ptxas in $root/bin, passed over"
        return 1
    fi
    if (( ${version%%.*} < 12 )); then
        say "$from: CUDA $version in $root is older than 12, passed over"
        return 1
    fi
    say "CUDA $version from $from"
    (cd "$root" && pwd -P)
}

find_system() {
    local nvcc dir
    if [[ -n "${CUDA_HOME:-}" ]]; then accept "$CUDA_HOME" CUDA_HOME && return 0; fi
    if [[ -n "${CUDA_PATH:-}" ]]; then accept "$CUDA_PATH" CUDA_PATH && return 0; fi
    if nvcc="$(command -v nvcc)"; then
        # Distributions put a link or a wrapper on PATH; the real file's folder is the toolkit's bin.
        nvcc="$(readlink -f "$nvcc")"
        accept "$(dirname "$(dirname "$nvcc")")" "nvcc on PATH" && return 0
    fi
    # Newest first: cuda-12.9 before cuda-12.0; the unversioned link is what the administrator chose.
    for dir in /usr/local/cuda $(ls -d /usr/local/cuda-* 2>/dev/null | sort -rV); do
        [[ -d "$dir" ]] || continue
        accept "$dir" "$dir" && return 0
    done
    return 1
}

pinned_root() {
    local dir
    for dir in "$PREFIX"/lib*/python*/site-packages/nvidia/cu13; do
        release "$dir" >/dev/null && { printf '%s\n' "$dir"; return 0; }
    done
    return 1
}

install_pinned() {
    local staging log
    command -v python3 >/dev/null || die "no CUDA >= 12 found, and no python3 to install one with"
    case "$(uname -s)" in Linux) ;; *) die "the pinned toolkit is for Linux; install CUDA >= 12 and set CUDA_HOME" ;; esac
    mkdir -p "$HOME_DIR"
    # One installer at a time where flock exists; without it two may download, and the rename below decides.
    if command -v flock >/dev/null; then
        exec 9>"$HOME_DIR/.lock"
        flock -n 9 || { say "another run is installing, waiting"; flock 9; }
        pinned_root >/dev/null && return 0
    fi
    staging="$(mktemp -d "$HOME_DIR/.staging.XXXXXX")"
    log="$staging.log"
    trap 'rm -rf "$staging" "$log"' EXIT
    say "installing CUDA 13.0 (pip, about 110 MB) into ${PREFIX#"$PWD"/}"
    python3 -m venv "$staging" >"$log" 2>&1 ||
        { cat "$log" >&2; die "python3 -m venv failed (Debian and Ubuntu: apt-get install python3-venv)"; }
    "$staging/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-deps \
        --only-binary=:all: "${PACKAGES[@]}" >"$log" 2>&1 ||
        { cat "$log" >&2; die "pip could not install ${PACKAGES[*]}: no network, or no wheel for $(uname -m)"; }
    # nvcc finds its parts relative to itself, so the folder can be moved. A half-made one is replaced; one that
    # a run without flock finished meanwhile stays.
    if ! pinned_root >/dev/null; then
        rm -rf "$PREFIX"
        mv -T "$staging" "$PREFIX" 2>/dev/null || pinned_root >/dev/null || die "could not move the toolkit to $PREFIX"
    fi
    rm -rf "$staging" "$log"
    trap - EXIT
    pinned_root >/dev/null || die "installed, but no working nvcc under $PREFIX"
}

case "${1:-}" in
    "") if root="$(find_system)"; then printf '%s\n' "$root"; exit 0; fi ;;
    --pinned) ;;
    *) die "usage: tools/toolchain.sh [--pinned]" ;;
esac

command -v g++ >/dev/null || command -v clang++ >/dev/null || die "nvcc needs a host compiler: install g++"
root="$(pinned_root)" || { install_pinned; root="$(pinned_root)"; }
say "CUDA $(release "$root"), pinned"
printf '%s\n' "$root"
