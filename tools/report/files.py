"""Files of one JSON object a line: read with errors that say where, written so that a kill leaves the old file or the new."""

import json
import os
import sys
from pathlib import Path


def numbered(file: Path, torn: bool = False) -> list[tuple[int, dict]]:
    """The objects of a file with the numbers of their lines; none where there is no file.

    A run that was killed while it wrote leaves half a line at the end: with `torn` that is dropped and said, without it is
    an error as everywhere else.
    """
    if not file.exists():
        return []
    found, text = [], file.read_text(errors="replace")
    rows = text.split("\n")
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            value = json.loads(row)
        except ValueError as error:
            if torn and number == len(rows):  # nothing behind it, not even the end of the line
                print(f"{file}:{number}: dropped, half a line of a run that was stopped", file=sys.stderr)
                continue
            sys.exit(f"{file}:{number}: not JSON: {error}")
        if not isinstance(value, dict):
            sys.exit(f"{file}:{number}: not a JSON object")
        found.append((number, value))
    return found


def lines(file: Path) -> list[dict]:
    """The objects of a file, one a line."""
    return [value for _, value in numbered(file)]


def whole(file: Path) -> dict:
    """The one object of a file."""
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        sys.exit(f"{file}:{getattr(error, 'lineno', 1)}: not JSON: {error}")


def write(file: Path, values: list[dict]) -> None:
    """All of a file anew."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.write_text("".join(json.dumps(value) + "\n" for value in values))
    os.replace(unfinished, file)
