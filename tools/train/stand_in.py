"""Text for the tiny grid, which is to run where no package archive is reached: the Python language reference, as the
standard library has it for `help()`.

    python stand_in.py WORKDIR MIX

writes what data.py would: WORKDIR/text/NAME.txt for each NAME of MIX (comma-separated), the topics dealt out in turn,
and WORKDIR/heldout.txt, every tenth topic.  It has no novel in it and its likelihoods mean nothing.
"""

import sys
from pathlib import Path
from pydoc_data.topics import topics

from data import SEPARATOR, unwrap


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    work, names = Path(sys.argv[1]), sys.argv[2].split(",")
    books = [unwrap(topics[name].splitlines()) for name in sorted(topics)]
    held_out, rest = books[::10], [b for i, b in enumerate(books) if i % 10]
    (work / "text").mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        (work / "text" / f"{name}.txt").write_text(SEPARATOR.join(rest[i :: len(names)]))
    (work / "heldout.txt").write_text("\n\n".join(held_out))


if __name__ == "__main__":
    main()
