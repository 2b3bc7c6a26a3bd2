"""The ledger of the paper's claims: nothing in it is dead, and each fault would be found."""

import copy

import ledger
import numpy as np
import pytest

from nodule_lesson.experiments.evidence import Evidence

GROUPS = ledger.read()
CLAIMS = ledger.claims_of(GROUPS)


def test_every_link_of_the_ledger_leads_somewhere_and_every_verdict_has_evidence():
    assert ledger.problems(GROUPS) == []


def test_every_claim_has_one_verdict():
    counted = ledger.count(ledger.judged(GROUPS))
    assert sum(counted.values()) == len(CLAIMS)
    assert list(counted) == list(ledger.VERDICTS)


def changed(change):
    """The faults of the ledger after a change of its claim of Eq. (5)."""
    groups = copy.deepcopy(GROUPS)
    (claim,) = (one for one in ledger.claims_of(groups) if one["id"] == "eq-5")
    change(groups, claim)
    return ledger.problems(groups)


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"book": ["std-gone"]}, "eq-5: the book has no section or equation 'std-gone'"),
        ({"package": ["nodule_lesson.std.gone"]}, "no public nodule_lesson.std.gone"),
        ({"package": ["nodule_lesson.gone.gone"]}, "no public nodule_lesson.gone.gone"),
        ({"package": ["nodule_lesson.std._step"]}, "no public nodule_lesson.std._step"),
        ({"package": ["torch.sigmoid"]}, "no public torch.sigmoid"),
        ({"tests": ["tests/test_std.py::test_gone"]}, "no test tests/test_std.py::test_gone"),
        ({"tests": ["tests/test_gone.py::test_blur"]}, "no test tests/test_gone.py"),
        ({"tests": []}, "a verdict without a test or a result"),
        ({"results": ["book/results/gone.json"]}, "there is no result book/results/gone.json"),
        ({"results": ["book/claims.md"]}, "there is no result book/claims.md"),
        ({"verdict": "proved"}, "the verdict 'proved' is none of reproduced,"),
        ({"compare": [["std", "unet"]]}, "a verdict, or comparisons from which one is made"),
        ({"because": "x"}, "there is no entry 'because' in a claim"),
        ({"where": ["Section 3.3"]}, "no claim is of Eq. (5)"),
        ({"id": "eq-4"}, "id stands twice: 'eq-4'"),
        ({"claim": f" {CLAIMS[0]['claim'].upper()}"}, "claim stands twice: 'one threshold on"),
        (
            {"verdict": "supported", "results": ["book/results/experiments/real-night"]},
            "what runs say is not typed",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_found(change, fault):
    faults = changed(lambda groups, claim: claim.update(change))
    assert len(faults) == 1 and fault in faults[0], faults


def test_what_is_missing_is_found():
    assert changed(lambda groups, claim: claim.pop("why")) == ["eq-5: 'why' is missing"]
    (fault,) = changed(lambda groups, claim: claim.pop("verdict"))
    assert "a verdict, or comparisons" in fault
    (fault,) = changed(lambda groups, claim: groups.append({"group": "more", "claims": []}))
    assert fault == "book/claims.md has to show each group once"

    def compare(groups, claim):
        del claim["verdict"]
        claim["compare"] = [["std", "nobody"]]

    assert changed(compare) == ["eq-5: [std, nobody] is no comparison of the experiments"]


def test_what_is_not_tried_needs_no_evidence():
    assert changed(lambda groups, claim: claim.update(verdict="not tried", tests=[])) == []


# --- verdicts that the runs decide ---------------------------------------------------------------


def runs_of(rows, finished=9):
    """Evidence of three clinics and seeds with rows of these mean Dice, of which some are run."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(20), 2)
    runs = [
        {
            "configuration": {"row": {"name": row}, "clinic": clinic, "seed": seed},
            "scores": {
                "train": {"dice": [0.9]},
                "large": {
                    measure: (mean + 0.02 * random.standard_normal(40)).tolist()
                    for measure in ("dice", "precision")
                },
            },
        }
        for row, mean in rows.items()
        for seed, clinic in [(s, c) for s in range(3) for c in (1, 2, 3)][:finished]
    ]
    return Evidence(runs, {1: {"large": {"patient": patients.tolist()}}})


LISTED = [{"row": "proposed", "other": "unet", "claim": "better"}]


def judgement(compare, found):
    groups = [{"group": "one", "claims": [{"id": "a", "compare": compare}]}]
    ((claim,),) = (group["claims"] for group in ledger.judged(groups, found, LISTED))
    return claim["verdict"], claim["said"]


@pytest.mark.parametrize(
    "rows, finished, verdict, words",
    [
        ({"proposed": 0.9, "unet": 0.8}, 9, "supported", "in our runs +0."),
        ({"proposed": 0.8, "unet": 0.9}, 9, "not supported", "in our runs -0."),
        ({"proposed": 0.8, "unet": 0.8}, 9, "open", "Holm's correction: open"),
        ({"proposed": 0.9, "unet": 0.8}, 8, "open", "our runs are not finished (8 of 9, 8 of 9)"),
        ({"unet": 0.8}, 9, "open", "our runs are not finished (0 of 9, 9 of 9)"),
    ],
)
def test_a_comparison_of_the_protocol_is_decided_by_its_runs_when_all_are_finished(
    rows, finished, verdict, words
):
    found, (said,) = judgement([["proposed", "unet"]], runs_of(rows, finished))
    assert found == verdict
    assert words in said and said.startswith("Dice of *proposed* and *unet*: 0.801 and 0.753")


def test_what_the_protocol_does_not_list_is_never_decided():
    found = runs_of({"proposed": 0.9, "unet": 0.7, "resunet": 0.7})
    for pair in (["proposed", "unet", "precision"], ["proposed", "resunet"]):
        verdict, (said,) = judgement([pair], found)
        assert verdict == "open" and said.endswith("which the protocol does not test.")
        assert "; in our runs +0." in said
        # A claim with one comparison that is decided and one that is not is open.
        assert judgement([["proposed", "unet"], pair], found)[0] == "open"
    verdict, (said,) = judgement([["proposed", "shared"]], found)
    assert verdict == "open" and said.endswith("the protocol plans no runs of both.")


def test_a_contradiction_is_enough():
    found = runs_of({"proposed": 0.7, "unet": 0.9, "resunet": 0.5})
    pairs = [["proposed", "unet"], ["proposed", "resunet"]]
    assert judgement(pairs, found)[0] == "not supported"
