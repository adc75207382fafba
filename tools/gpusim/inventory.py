#!/usr/bin/env python3
"""Lists every instruction form (opcode and modifiers) that a set of PTX files uses: count, files, an example.

    tools/gpusim/inventory.py FILE.ptx ... > inventory.txt     forms sorted by opcode
    tools/gpusim/inventory.py --registers FILE.ptx ...         special registers and directives as well
"""
import re
import sys
from collections import defaultdict
from pathlib import Path

forms, files, example = defaultdict(int), defaultdict(set), {}
extras = defaultdict(int)
arguments = [a for a in sys.argv[1:] if a != "--registers"]
for path in arguments:
    text = Path(path).read_text()
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"\.section.*", "", text, flags=re.S)          # DWARF is always last
    for d in re.findall(r"^\s*\.(version \S+|target [^\n]+|reqntid|maxntid|minnctapersm|maxnreg|maxclusterrank|explicitcluster|reqnctapercluster|pragma \"[^\"]*\"|branchtargets|calltargets|callprototype|noreturn|alias|weak|common)", text, re.M):
        extras["." + d.strip()] += 1
    for r in re.findall(r"%(?:clock|clock_hi|clock64|globaltimer\w*|tid|ntid|ctaid|nctaid|laneid|warpid|nwarpid|smid|nsmid|gridid|lanemask_\w+|cluster_\w+|clusterid|nclusterid|is_explicit_cluster|dynamic_smem_size|total_smem_size|envreg\d+|current_graph_exec)\b(?:\.[xyz])?", text):
        extras[r] += 1
    for statement in re.split(r"[;{}\n]", text):
        statement = re.sub(r"^\s*[\w$%]+:", "", statement).strip()
        m = re.match(r"(?:@!?%?[\w$]+\s+)?([a-z][a-z0-9_]*(?:(?:\.|::)[a-zA-Z0-9_]+)*)(?=[\s(]|$)", statement)
        if not m or statement.startswith("."):
            continue
        form = m.group(1)
        if "." not in form and form not in ("ret", "exit", "bra", "trap", "brkpt", "call", "nanosleep", "isspacep", "setmaxnreg"):
            continue
        forms[form] += 1
        files[form].add(Path(path).stem)
        example.setdefault(form, " ".join(statement.split())[:110])

print(f"# {len(forms)} forms in {len(arguments)} files: uses, files, form, one example, one file")
for form in sorted(forms):
    print(f"{forms[form]:7} {len(files[form]):4}  {form:75} {example[form]}   [{sorted(files[form])[0]}]")
if "--registers" in sys.argv:
    print("\n# special registers and directives")
    for k in sorted(extras):
        print(f"{extras[k]:7}  {k}")
