"""The paper's claims, one by one, with a verdict and what it rests on: book/claims.yml.

    groups = read(ROOT)           # the ledger as it is written
    problems(groups, ROOT)        # a sentence for each fault: dead links, no evidence, doubles
    judged(groups)                # with the verdicts that the experiments decide

A claim has these entries:

    id        its anchor on the page
    where     places in the paper, as in `places`: "Eq. (5)", "Table 1, row UNet", "Section 3.2"
    claim     what the paper says, in our words
    verdict   one of VERDICTS; left out where `compare` stands
    compare   comparisons of methods, from which the protocol's rule makes the verdict
    why       one or two sentences
    book      labels of sections or equations of the book
    package   public names of the package
    tests     FILE::NAME of tests that speak to the claim
    results   files or folders with results that do

A comparison is [row, other] or [row, other, measure], as in `nodule_lesson.experiments`: the first
is said to be better. Nobody types its verdict. `evidence` has it once all runs are finished.
"""

import pkgutil
import re
from collections import Counter
from pathlib import Path

import yaml

from nodule_lesson.experiments import evidence, grid, paper

ROOT = Path(__file__).resolve().parents[1]
LEDGER, PAGE = "book/claims.yml", "book/claims.md"
RUNS = "book/results/experiments/"

REPRODUCED, SUPPORTED, NOT_SUPPORTED = "reproduced", "supported", "not supported"
OPEN, MISPRINT, NOT_TRIED = "open", "misprint", "not tried"
VERDICTS = {
    REPRODUCED: "we derived, counted or built the same, and a test holds it",
    SUPPORTED: "what we proved or measured agrees, within the limits that are named",
    NOT_SUPPORTED: "a proof, a count, our runs or the paper's own numbers speak against it",
    OPEN: "what we have does not decide it",
    MISPRINT: "a letter, number or word is not what the derivation, source or table says",
    NOT_TRIED: "and the reason",
}

TEXTS, LISTS = {"id", "claim", "verdict", "why"}, {"where", "book", "package", "tests", "results"}
NEEDED = {"id", "where", "claim", "why"}
STAGES = ("1", "2", "4")  # those of the protocol whose rows are compared on real clinics
MEASURES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "precision",
    "sensitivity": "sensitivity",
    "hausdorff_distance": "HD (lower is better)",
    "assd": "ASSD (lower is better)",
}


def read(root=ROOT):
    """The groups of the ledger: a list of {group, claims}, the claims as they are written."""
    return yaml.safe_load(Path(root, LEDGER).read_text(encoding="utf-8"))["groups"]


def claims_of(groups):
    return [claim for group in groups for claim in group["claims"]]


# --- what may be wrong with it ------------------------------------------------------------------


def places():
    """What the ledger must have a claim for: all equations, rows of tables and contributions."""
    equations = [f"Eq. ({number})" for number in range(1, 14)]
    rows = [f"Table {n}, row {row}" for n, rows in paper.TABLES.items() for row in rows]
    return [*equations, *rows, *(f"Contribution {number}" for number in range(1, 6))]


def labels(root=ROOT):
    """{label: (page, whether it is an equation)} for the sections and equations of the book."""
    found = {}
    for path in sorted(Path(root, "book").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        found |= {label: (path.stem, False) for label in re.findall(r"^\((.+)\)=\n#", text, re.M)}
        equations = re.findall(r"^```\{math\}\n:label: (\S+)$|^\$\$ \((\S+)\)$", text, re.M)
        found |= {label: (path.stem, True) for label in map("".join, equations)}
    return found


def problems(groups, root=ROOT):
    """Sentences on what is wrong with a ledger; an empty list where nothing is."""
    known, claims = labels(root), claims_of(groups)
    found = [
        f"{key} stands twice: {value!r}"
        for key in ("id", "claim")
        for value, count in Counter(_plain(claim.get(key)) for claim in claims).items()
        if count > 1
    ]
    covered = {place for claim in claims for place in claim.get("where", [])}
    found += [f"no claim is of {place}" for place in places() if place not in covered]
    shown = re.findall(
        r"^:::\{paper-claims\} (.+)$", Path(root, PAGE).read_text(encoding="utf-8"), re.M
    )
    if sorted(shown) != sorted(group["group"] for group in groups):
        found.append(f"{PAGE} has to show each group once")
    for claim in claims:
        found += [f"{claim.get('id')}: {fault}" for fault in _faults(claim, known, Path(root))]
    return found


def _plain(text):
    return " ".join(str(text).lower().split())


def _faults(claim, known, root):
    for key in claim.keys() - TEXTS - LISTS - {"compare"}:
        yield f"there is no entry {key!r} in a claim"
    for key in sorted(NEEDED - claim.keys()):
        yield f"{key!r} is missing"
    if ("verdict" in claim) == ("compare" in claim):
        yield "it needs a verdict, or comparisons from which one is made, and not both"
    elif "verdict" in claim and claim["verdict"] not in VERDICTS:
        yield f"the verdict {claim['verdict']!r} is none of {', '.join(VERDICTS)}"
    if claim.get("verdict") != NOT_TRIED and not (claim.get("tests") or claim.get("results")):
        yield "a verdict without a test or a result"
    runs = [result for result in claim.get("results", []) if result.startswith(RUNS)]
    if claim.get("verdict") in (SUPPORTED, NOT_SUPPORTED) and runs:
        yield f"what runs say is not typed: {claim['verdict']!r} rests on {runs[0]}"
    for row, other, *measure in claim.get("compare", []):
        if not {row, other} <= set(grid.ROWS) or not set(measure) <= set(MEASURES):
            yield f"[{', '.join([row, other, *measure])}] is no comparison of the experiments"
    for label in claim.get("book", []):
        if label not in known:
            yield f"the book has no section or equation {label!r}"
    for name in claim.get("package", []):
        if not _is_public(name):
            yield f"the package has no public {name}"
    for test in claim.get("tests", []):
        file, _, name = test.partition("::")
        path = root / file
        if not path.is_file() or f"\ndef {name}(" not in path.read_text(encoding="utf-8"):
            yield f"there is no test {test}"
    for result in claim.get("results", []):
        if not (root / result).exists() or not result.startswith("book/results/"):
            yield f"there is no result {result}"


def _is_public(name):
    if not name.startswith("nodule_lesson.") or "._" in name:
        return False
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return True


# --- verdicts that the experiments decide --------------------------------------------------------


def judged(groups, found=None, comparisons=None):
    """The ledger with a verdict for each claim; `said` has a sentence for each comparison.

    found: the `evidence.Evidence` of the real clinics. comparisons: those of the protocol.
    """
    found = evidence.read("real") if found is None else found
    if comparisons is None:
        comparisons = evidence.protocol()["comparisons"]
    counts = {row: len(runs) for row, runs in found.runs.items()}
    # A row of which runs are still to come is not looked at.
    whole = evidence.Evidence(
        [
            run
            for row, runs in found.runs.items()
            for run in runs.values()
            if counts[row] == planned(row)
        ],
        found.lesions,
    )
    decisions = {(one.row, one.other): one for one in whole.primary(comparisons)}
    return [
        {
            **group,
            "claims": [_judged(claim, whole, decisions, counts) for claim in group["claims"]],
        }
        for group in groups
    ]


def planned(row):
    """How many runs of a row the protocol plans on real clinics; None if it plans none."""
    for name in STAGES:
        if row in grid.STAGES[name].rows:
            return sum(run.row.name == row for run in grid.runs_of_stage(name))
    return None


def _judged(claim, whole, decisions, counts):
    if "compare" not in claim:
        return {**claim, "said": []}
    signs, said = [], []
    for row, other, *measure in claim["compare"]:
        measure = measure[0] if measure else "dice"
        decision = decisions.get((row, other)) if measure == "dice" else None
        sign = 0
        if decision is not None and decision.verdict == evidence.DECIDED:
            sign = 1 if decision.difference.mean > 0 else -1
        signs.append(sign)
        said.append(_said(row, other, measure, decision, whole, counts))
    verdict = NOT_SUPPORTED if -1 in signs else OPEN if 0 in signs else SUPPORTED
    return {**claim, "verdict": verdict, "said": said}


def _said(row, other, measure, decision, whole, counts):
    """What the paper prints of a comparison and what our runs say of it, in a sentence."""
    printed = [_printed(name, measure) for name in (row, other)]
    text = f"{MEASURES[measure]} of *{row}* and *{other}*: "
    text += "no such rows printed" if None in printed else "{} and {} printed".format(*printed)
    if not {row, other} <= set(whole.rows):
        finished = [
            f"{counts.get(name, 0)} of {planned(name)}"
            for name in (row, other)
            if planned(name) is not None
        ]
        if len(finished) < 2:
            return f"{text}; the protocol plans no runs of both."
        return f"{text}; our runs are not finished ({finished[0]}, {finished[1]})."
    d = whole.compare(row, other, measure) if decision is None else decision.difference
    text += f"; in our runs {d.mean:+.3f} (95% interval {d.low:+.3f} to {d.high:+.3f})"
    if decision is None:
        return f"{text}, which the protocol does not test."
    return f"{text}, p = {decision.p:.2g} after Holm's correction: {decision.verdict}."


def _printed(row, measure):
    """The paper's number for a row of its tables, as text, or None."""
    for number, names in paper.ROWS.items():
        for name, ours in names.items():
            if ours == row:
                column = paper.MEASURES.index(measure)
                return f"{paper.TABLES[number][name][column]:.3f}"
    return None


def count(groups):
    """How many claims have each verdict, in the order of VERDICTS."""
    found = Counter(claim["verdict"] for claim in claims_of(groups))
    return {verdict: found[verdict] for verdict in VERDICTS}
