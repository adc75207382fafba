"""The log of a run: JSON lines, cut back to the checkpoint when the run is resumed."""

import json
import os
from pathlib import Path


def read(path: Path) -> list[dict]:
    """All events.  A last line that a kill has torn is left out; any other line that is no JSON is an error."""
    lines, events = path.read_text().splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            events.append(json.loads(line))
        except ValueError as e:
            if number < len(lines):
                raise ValueError(f"{path}: line {number} is no JSON: {e}") from None
    return events


class Log:
    """A resumed run drops what was written behind its checkpoint, and will write it again."""

    def __init__(self, path: Path, step: int):
        self.path = path
        kept = [event for event in read(path) if event["step"] <= step] if step and path.exists() else []
        temporary = path.with_suffix(".new")
        temporary.write_text("".join(json.dumps(event) + "\n" for event in kept))
        os.replace(temporary, path)  # a kill in the middle leaves the old one whole

    def write(self, **what) -> None:
        what = {k: round(v, 4) if isinstance(v, float) else v for k, v in what.items()}
        with open(self.path, "a") as file:
            file.write(json.dumps(what) + "\n")
