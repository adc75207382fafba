"""What a result is a result of: the program, and the machine that it ran on."""

import hashlib
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path


def digest(*files: Path) -> str:
    """Of the bytes of files, in this order."""
    total = hashlib.sha256()
    for file in files:
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def version(program: Path) -> str:
    """What the program calls itself; a digest where it does not say."""
    try:
        done = subprocess.run([str(program), "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        done = None
    text = done.stdout.strip() if done and not done.returncode else ""
    return text.splitlines()[0] if text else digest(program)


def build(program: Path) -> str:
    """One build of the program.  Two of the same version need not be equally fast, so the digest stands beside it."""
    name, own = version(program), digest(program)
    return own if name == own else f"{name}, {own}"


def cpu() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for row in info.read_text().splitlines():
            if row.startswith("model name"):
                return row.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
