#!/usr/bin/env python3
"""Puts the results of cudarc's own tests into README.md, between its markers.

    tools/gpusim/cudarc-tests.sh              writes target/cudarc-tests.log
    tools/gpusim/cudarc_table.py [--check]    updates the table, or fails if it is not up to date
"""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
LOG = HERE.parents[1] / "target" / "cudarc-tests.log"
BEGIN, END = "<!-- table cudarc -->", "<!-- end of table cudarc -->"


def outcomes(log):
    """The last outcome of each test and the reason why it was skipped; a test that was ignored in one run and ran alone in another ran."""
    found = {}
    for name, outcome, _, reason in re.findall(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored|skipped)(, (.*))?$", log, re.M):
        if outcome in ("ok", "FAILED") or name not in found:
            found[name] = (outcome, reason)
    return found


def table(log):
    found = outcomes(log)
    failed = [name for name, (outcome, _) in found.items() if outcome == "FAILED"]
    if failed or not found:
        raise SystemExit(f"failed: {', '.join(failed)}" if failed else "the log names no test")
    groups = {}
    for name, (outcome, _) in found.items():
        passed, skipped = groups.get(group := name.split("::tests::")[0], (0, 0))
        groups[group] = (passed + (outcome == "ok"), skipped + (outcome != "ok"))
    groups = sorted(groups.items())
    groups.append(("all", tuple(map(sum, zip(*(counts for _, counts in groups))))))
    lines = ["| cudarc's tests | passed | skipped |", "| --- | ---: | ---: |"]
    lines += [f"| {name if name == 'all' else f'`{name}`'} | {passed} | {skipped} |" for name, (passed, skipped) in groups]
    lines += ["", "Skipped, and why:", ""]
    lines += [f"- `{name.split('::')[-1]}`: {reason}" for name, (outcome, reason) in sorted(found.items()) if outcome != "ok"]
    return "\n".join(lines)


def main():
    text = README.read_text()
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    new = f"{before}{BEGIN}\n{table(LOG.read_text())}\n{END}{after}"
    if sys.argv[1:] == ["--check"]:
        raise SystemExit(0 if new == text else "the table of cudarc's tests in README.md is not up to date: tools/gpusim/cudarc_table.py")
    README.write_text(new)


if __name__ == "__main__":
    main()
