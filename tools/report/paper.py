"""The paper's numbers that could be had, out of paper.json."""

from pathlib import Path

import files
from plan import Case

FILE = Path(__file__).with_name("paper.json")


def load() -> dict:
    return files.whole(FILE)


def at_its_lengths(paper: dict, case: Case) -> bool:
    """Whether a case is the regime of the same name.  Lengths tell: small budgets have cases of these names that are shorter."""
    return paper["lengths"].get(case.name) == [case.prompt, case.new]


def memory(paper: dict, case: Case) -> dict[str, float]:
    """GiB a sequence by name, for a case at the paper's lengths."""
    return paper["memory_gib_per_sequence"].get(case.name, {}) if at_its_lengths(paper, case) else {}
