"""Fetches and cleans the training text: public-domain English out of four Debian packages.

    python data.py WORKDIR

needs `apt-get` and `dpkg` (any Debian or Ubuntu with its package lists fetched); no root.  Writes WORKDIR/text/NAME.txt
for the training sources and WORKDIR/heldout.txt, and prints a table of bytes.  Nothing it fetches is committed.
"""

import re
import subprocess
import sys
from pathlib import Path

import rdata
import sword

PACKAGES = ["r-cran-janeaustenr", "r-cran-tokenizers", "sword-text-web", "sword-comm-mhcc"]
HELD_OUT = "northangerabbey"
# Books are separated by this character in the text files; the tokenizer turns it into <|endoftext|>.
SEPARATOR = "\x1e"
REFERENCE = "\x1f"


def fetch(work: Path) -> Path:
    """Downloads and unpacks the packages; returns the root of the unpacked tree."""
    debs, root = work / "deb", work / "root"
    debs.mkdir(parents=True, exist_ok=True)
    missing = [p for p in PACKAGES if not list(debs.glob(f"{p}_*.deb"))]
    if missing:
        try:
            subprocess.run(["apt-get", "download", *missing], cwd=debs, check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            sys.exit(f"data.py: cannot download {', '.join(missing)}: {e} (is `apt-get update` due?)")
    for package in PACKAGES:
        for deb in debs.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg", "-x", str(deb), str(root)], check=True)
    return root


def plain(text: str) -> str:
    """One spelling for quotes, dashes and dots, so that 4096 tokens are not spent on variants; no _emphasis_."""
    for old, new in {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--", "\u2013": "-",
                     "\u2026": "...", "\u00a0": " ", "_": "", "\u02bc": "'", "\u200b": "", "\ufeff": ""}.items():
        text = text.replace(old, new)
    return re.sub(r"[ \t]+", " ", text)


def unwrap(lines: list[str]) -> str:
    """Hard-wrapped lines -> paragraphs on a line each, an empty line between two."""
    joined = "\n".join(line.rstrip() for line in lines)
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n\s*\n", joined))
    return "\n\n".join(p for p in paragraphs if p)


def novel(lines: list[str]) -> str:
    text = plain(unwrap(lines))
    text = re.sub(r"(?m)^(?:THE END|FINIS)$", "", text)
    # Chapter headings in one style, whatever the edition shouted.
    text = re.sub(r"(?mi)^(chapter|volume) ([0-9]+|[ivxlc]+)\.?(?=$| )", lambda m: f"{m[1].title()} {m[2].upper()}", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def between(text: str, first: str, after: str) -> str:
    """The part from `first` to before `after`: editions add notes and licences of their own to a novel."""
    start, end = text.find(first), text.find(after)
    if start < 0 or end < start:
        sys.exit(f"data.py: {first!r} .. {after!r} not found: has the package changed?")
    return text[start:end].strip()


def commentary(base: Path) -> list[str]:
    """Matthew Henry, book by book, without the sentences that cite verses: abbreviations and numbers are not prose."""
    books = []
    for testament in ("ot", "nt"):
        for block in sword.blocks(base / testament):
            kept = []
            for paragraph in sword.paragraphs(block, REFERENCE):
                sentences = re.split(r"(?<=[.?!]) +", plain(paragraph))
                good = [s for s in sentences if REFERENCE not in s and not re.search(r"\d|&c", s)]
                if good and len(" ".join(good)) > 60:
                    kept.append(" ".join(good))
            books.append("\n\n".join(kept))
    return [b for b in books if len(b) > 1000]


def bible(base: Path) -> list[str]:
    """The World English Bible, book by book, without headings and notes."""
    books = []
    for testament in ("ot", "nt"):
        for block in sword.blocks(base / testament):
            # The preface stands before Genesis in its block, a glossary behind Revelation.
            block = block[max(0, block.find('<div canonical="true"')) :]
            block = re.split(r'<div [^>]*type="glossary"', block)[0]
            books.append("\n\n".join(plain(p) for p in sword.paragraphs(block, "")))
    return [b for b in books if len(b) > 1000]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    work = Path(sys.argv[1])
    root = fetch(work)
    library = root / "usr/lib/R/site-library"
    modules = root / "usr/share/sword/modules"
    austen = {name: novel(lines) for name, lines in rdata.load(library / "janeaustenr/data/Rdata").items()}
    held_out = between(austen.pop(HELD_OUT), "NORTHANGER ABBEY", "A NOTE ON THE TEXT")
    moby = "\n\n".join(novel(c.split("\n")) for c in rdata.load(library / "tokenizers/data/Rdata")["mobydick"])
    sources = {
        "austen": list(austen.values()),
        "melville": [between(moby, "Chapter 1 Loomings", "End of Project Gutenberg")],
        "henry": commentary(modules / "comments/zcom/mhcc"),
        "web": bible(modules / "texts/ztext/engWEB2015eb"),
    }
    (work / "text").mkdir(exist_ok=True)
    print(f"{'source':<28}{'books':>6}{'bytes':>12}")
    for name, books in sources.items():
        data = SEPARATOR.join(books).encode()
        (work / "text" / f"{name}.txt").write_bytes(data)
        print(f"{name:<28}{len(books):>6}{len(data):>12,}")
    (work / "heldout.txt").write_bytes(held_out.encode())
    print(f"{'held out: ' + HELD_OUT:<28}{1:>6}{len(held_out.encode()):>12,}")


if __name__ == "__main__":
    main()
