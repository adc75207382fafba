"""The tables of quality: held-out likelihood by mode and refresh, accuracy on tasks."""

import estimates
import markdown

# The small model that stands for a family of 600M: architecture -> family.
FAMILIES = {"vanilla": "vanilla", "block4": "block", "photon44": "photon"}
TASKS = {"hellaswag": "HellaSwag", "sciq": "SciQ", "arc_easy": "ARC-Easy"}


def mode_name(mode: dict) -> str:
    return mode["mode"] + (f" {mode['refresh']}" if mode["refresh"] else "")


def bits(line: dict) -> dict[str, dict]:
    """Bits per byte behind the prompts: mode -> estimate."""
    return {mode_name(mode): mode["scored"]["bits_per_byte"] for mode in line["text"]["modes"]}


def differences(line: dict) -> dict[str, dict]:
    """Bits per byte beyond those of exact, window by window: mode -> estimate."""
    return {mode_name(mode): mode["difference"] for mode in line["text"]["modes"]}


def beyond(line: dict, other: dict, name: str = "exact") -> dict | None:
    """Bits per byte of a run beyond those of another in the same mode, window by window of the same text."""
    def windows(of: dict) -> tuple[list[int] | None, list[float] | None]:
        mode = next((mode for mode in of["text"]["modes"] if mode_name(mode) == name), {})
        return of["text"].get("scored_bytes"), mode.get("scored_bits")

    (lengths, own), (others, base) = windows(line), windows(other)
    if not (own and base) or lengths != others or line["settings"]["text"] != other["settings"]["text"]:
        return None
    return estimates.ratio([a - b for a, b in zip(own, base, strict=True)], lengths)


def chosen(quality: list[dict], own_output: bool) -> dict[str, dict]:
    """The models that stand for the families: of PHOTON's the one on current latents, trained on own outputs or not, of the grid's seed."""
    out = {}
    for line in quality:
        family = FAMILIES.get(line["architecture"]) if line.get("seed") is None else None
        if family == "photon" and (line["condition"] != "current" or line["own_output"] != own_output or line["alpha"] != 0.1):
            continue
        if family and (family == "photon" or own_output):
            out[family] = line
    return out


def in_order(names) -> list[str]:
    """exact, hiergen, recgen by refresh from often to never."""
    def rank(name: str) -> tuple:
        mode, _, refresh = name.partition(" ")
        return (("exact", "hiergen", "recgen").index(mode), int(refresh) if refresh else 1 << 30)
    return sorted(set(names), key=rank)


def title(name: str) -> str:
    """Of a column."""
    return "recgen, refresh ∞" if name == "recgen" else name.replace("recgen ", "refresh ")


def text(lines: list[dict]) -> str:
    """Held-out bits per byte of every model in every mode."""
    names = in_order(name for line in lines for name in bits(line))
    rows = []
    for line in lines:
        known = bits(line)
        rows.append([line["run"]] + [markdown.interval(known[name], 3) if name in known else "–" for name in names])
    return markdown.table(["run"] + [title(name) for name in names], rows)


def refresh(lines: list[dict]) -> str:
    """What each mode costs above exact, with and without training on own outputs."""
    several = [line for line in lines if len(bits(line)) > 1]
    names = in_order(name for line in several for name in bits(line))[1:]
    rows = []
    for line in sorted(several, key=lambda line: (line["architecture"], line["condition"], not line["own_output"])):
        known = differences(line)
        rows.append([line["run"], line["condition"], "yes" if line["own_output"] else "no", f"{line['alpha']:g}"]
                    + [markdown.interval(known[name], 3, sign="+") for name in names])
    return markdown.table(["run", "condition", "own outputs", "α"] + [title(name) for name in names], rows, 2)


def accuracy(lines: list[dict]) -> str:
    """Share of questions answered right, by likelihood per character; chance in the head."""
    tasks = lines[0]["tasks"]
    head = ["run, mode"] + [f"{TASKS[task['task']]}, chance {100 * task['chance']:.1f} %" for task in tasks]
    rows = []
    for line in lines:
        for i, mode in enumerate(line["tasks"][0]["modes"]):
            cells = [task["modes"][i]["accuracy_norm"] for task in line["tasks"]]
            rows.append([f"{line['run']}, {mode_name(mode)}"] + [percent(cell) for cell in cells])
    return markdown.table(head, rows)


def percent(estimate: dict) -> str:
    low, high = estimate["interval"]
    return f"{100 * estimate['value']:.1f} ({100 * low:.1f}–{100 * high:.1f}) %"


def against_chance(lines: list[dict]) -> tuple[int, list[str]]:
    """How many accuracies there are, and those whose interval leaves out chance."""
    count, apart = 0, []
    for line in lines:
        for task in line["tasks"]:
            for mode in task["modes"]:
                count += 1
                low, high = mode["accuracy_norm"]["interval"]
                if not low <= task["chance"] <= high:
                    side = "above" if low > task["chance"] else "below"
                    where = f"{line['run']}, {mode_name(mode)}, {TASKS[task['task']]}"
                    apart.append(f"{where}: {percent(mode['accuracy_norm'])}, {side}")
    return count, apart
