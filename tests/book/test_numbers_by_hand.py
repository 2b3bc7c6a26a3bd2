"""Numbers in the text come from code: what looks like a result and is typed by hand is found.

A result looks like a decimal, a share in per cent, "3 of 7", a number above a thousand, or "about
70". It is put there by `glue`. What else looks so is a formula, the value of a symbol or of a
control, a section of the paper, or one of ALLOWED, with the reason. Alternative texts of figures
are left out: nothing can be glued there, and they say in round numbers what a picture shows.
"""

import re

import chapters
import pytest
import yaml

BOOK = chapters.ROOT / "book"

# Their results are to be replaced, and their text with them, or they wait to be gone through.
TO_BE_REWRITTEN = (
    "training_the_model",
    "transfer_learning",
    "taking_apart",
    "reading_the_tables",
    "measuring_a_segmentation",
)

NUMBER = re.compile(
    r"\d+\.\d+"
    r"|\d+ ?(?:%|per ?cent)"
    r"|\d+ of (?:the )?\d+"
    r"|\d{1,3}(?:,\d{3})+"
    r"|\b(?:about|almost|around|nearly|roughly|some) \d{2,}"
)
SYMBOL = r"[A-Za-oq-zα-ω][₀-₉]?"  # one letter; p is no setting but often a result
NO_RESULTS = (
    rf"(?<!\w)(?:{SYMBOL}/)?{SYMBOL}\*{{0,2}} = [−-]?\d+(?:\.\d+)?",  # σ = 0.6
    r"\*\*[^*]+\*\* (?:down |up )?to \d+(?:\.\d+)?",  # pull **σ** down to 0.05
    r"[Ss]ections? \d\.\d",
    r"Python 3\.\d+|CC BY \d\.\d",
    r"95 ?% intervals?|5 to 95 %",  # their level
)

SETTING, LIMIT, EXACT = "a setting", "a limit that we chose", "exact, by what stands beside it"
USUAL, GUESSING = "what is usual, no result of ours", "what guessing gives, by definition"
PAPER, SOURCE = "the paper's number, beside ours", "a number of the source"
HELD = "round, and held by an assertion of the chapter's facts"
ALLOWED = {
    "against_the_classics": {
        "Dice above 0.9?": LIMIT,
        "have a Dice below 0.5": LIMIT,
        "a Dice of 0.5 or more": LIMIT,
        "A difference below 0.01": LIMIT,
        "more than 99 % of the lesions": HELD,
        "has 80 % power": SETTING,
    },
    "boundary_length": {"error below 2 per cent": LIMIT, "At 0.7 mm per pixel": USUAL},
    "combination_block": {"p = −0.5: the disc vanishes": EXACT},
    "curvature_flow": {"(3,000 steps)": SETTING},
    "computing_distances": {"Slices are 2.5 mm apart": SETTING},
    "detection_prior": {
        "that is below 0.0005": EXACT,
        "discs of height 1.5": SETTING,
    },
    "index": {"the paper's choice, ·, at 1.8": SETTING},
    "learning_through_the_loop": {
        "At 0.3 the slope is alive; at 0.2 it is": SETTING,
        "without the 0.3.": SETTING,
        "the size 0.01 to 0.1": USUAL,
        "it began near 0.3": SETTING,
        "(at 0.001 it stays up anyway)": SETTING,
        "discs of radius 1.5": SETTING,
        "floor of 0.3": SETTING,
        "At a network's 0.001": SETTING,
    },
    "lung_nodules_in_ct": {
        "some 4,000 different values": USUAL,
        "0.5 to 0.9 mm wide in the plane, and from slice to slice 0.5 to 5 mm": USUAL,
        "some 130 of the 512 x 512 voxels of a slice, each 0.7 mm wide": EXACT,
        "0.5 means one thing here": SETTING,
        "0.5 stands for anything from": SETTING,
        'A Dice of 0.8 is not "80 % right"': "round, below a table of glued numbers",
    },
    "multitask_model": {"(column *95 %*)": SETTING},
    "network_in_the_page": {"0.5 to 0.9 mm wide": USUAL},
    "on_real_scans": {
        "some 78,000 small pictures": SOURCE,
        "1,018 scans in LIDC-IDRI": PAPER,
        "2.5 mm. That leaves": SOURCE,
        "a quarter tested it is 0.91": EXACT,
    },
    "regimes": {
        "then 0.25. How many": SETTING,
        "At 0.5; the price has just reached 0": EXACT,
        "(At 0.02 the grid takes": SETTING,
        "At 0.5 the layer is slow": SETTING,
        "up to about 0.1": LIMIT,
        "Discs of logit 0.5": SETTING,
        "and 0.5 becomes": SETTING,
        "half of it near 0.3": HELD,
    },
    "results": {"times 0.75 every five epochs": SETTING},
    "sigmoid": {
        "each further nine in 0.999…": EXACT,
        "at the threshold 0.5": SETTING,
        "away from 0.5": EXACT,
        "the outline at 0.5": SETTING,
    },
    "simulated_scans": {
        "Guessing has 0.5": GUESSING,
        "the part of them above 0.5": SETTING,
        "We had set 0.75": LIMIT,
        "the real slices' 5 % is 0 and their 95 % is 1": SETTING,
    },
    "soft_threshold_dynamics": {"At 2.5, ·": SETTING},
    "use_on_your_scans": {"p is below 0.05": LIMIT},
    "what_500_steps_told_us": {"at the threshold 0.5": SETTING},
    "claims.yml": {"says 2.5 mm": SOURCE},
}


def prose(text):
    """The prose of a chapter and its captions; a role is a dot."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    captions = re.findall(r"^ +caption: (.+)$", text, re.MULTILINE)
    text = re.sub(r"^`{4,}.*$", "", text, flags=re.MULTILINE)  # solutions are prose, too
    text = chapters.FENCED.sub("", text)
    text = re.sub(r"<!--.*?-->|\$\$.*?\$\$", "", text, flags=re.DOTALL)
    text = re.sub(r"\{[\w:]+\}`[^`]*`|`[^`]*`", "·", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return " ".join(" ".join([text, *captions]).split())


def typed(text, allowed=()):
    """The numbers in some prose that look like results, each with what stands around it."""
    for phrase in allowed:
        text = text.replace(phrase, "·")
    for pattern in NO_RESULTS:
        text = re.sub(pattern, "·", text)
    return [text[max(0, found.start() - 40) : found.end() + 25] for found in NUMBER.finditer(text)]


@pytest.mark.parametrize(
    "name", sorted({path.stem for path in BOOK.glob("*.md")}.difference(TO_BE_REWRITTEN))
)
def test_no_result_in_a_page_is_typed_by_hand(name):
    text, allowed = prose((BOOK / f"{name}.md").read_text(encoding="utf-8")), ALLOWED.get(name, {})
    assert typed(text, allowed) == []
    assert [phrase for phrase in allowed if phrase not in text] == []


def test_no_result_in_the_ledger_of_claims_is_typed_by_hand():
    """The reasons; what the paper claims may have the paper's numbers."""
    groups = yaml.safe_load((BOOK / "claims.yml").read_text(encoding="utf-8"))["groups"]
    reasons = " ".join(claim["why"] for group in groups for claim in group["claims"])
    assert typed(" ".join(reasons.split()), ALLOWED["claims.yml"]) == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("The mean Dice is 0.83.", True),
        ("It misses 12 % of them.", True),
        ("It misses 12 per cent of them.", True),
        ("It finds 9 of 11 lesions.", True),
        ("It finds 9 of the 11 lesions.", True),
        ("The disc has 2,827 pixels.", True),
        ("It moves by about 70 pixels.", True),
        ("The difference has p = 0.03.", True),
        ("The mean Dice = 0.83.", True),
        ("The mean Dice is {glue:text}`mean-dice`.", False),
        ("Here {math}`\\sigma = 0.57` and $x = 0.83$.", False),
        ("$$\nx = 0.83\n$$ (label)\n\nSo it is.", False),
        ("```{code-cell} python3\nx = 0.83\n```\n\nSo it is.", False),
        ('```{code-cell} python3\n---\n    caption: "It is 0.83."\n---\nx\n```', True),
        ("````{solution} one\n```python\nx = 0.83\n```\nSo it is 0.83.\n````", True),
        ("Set **σ** to 0.15, or σ = 0.2 and **ε/λ₁** = 0.3.", False),
        ("Section 3.2 has ten steps.", False),
    ],
)
def test_a_number_typed_by_hand_is_found(text, found):
    assert bool(typed(prose(text))) == found
