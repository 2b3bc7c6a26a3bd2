"""What the short trainings said, why that could not be trusted, and what the evidence made of it.

The fate of a headline is computed from the runs of the evidence: KEPT, TURNED, DROPPED or WAITS.
"""

from dataclasses import dataclass

import numpy as np

from nodule_lesson.experiments import claims, evidence, grid
from nodule_lesson.glue import signed

KEPT, TURNED, DROPPED, WAITS = "kept", "turned", "dropped", "waits for the runs"


@dataclass(frozen=True)
class Headline:
    """A sentence of the short trainings.

    said, doubt: what they said, with places for the numbers of `numbers`, and why it could not be
    trusted. fate: a function of an `evidence.Evidence`.
    """

    said: str
    doubt: str
    fate: object


def is_complete(found, row):
    """Whether all runs of a row that the evidence is to have on real slices have ended."""
    wanted = {
        (run.clinic, run.seed)
        for stage in ("1", "2", "4")
        for run in grid.runs_of_stage(stage)
        if run.row.name == row
    }
    return bool(wanted) and row in found.rows and wanted <= found.runs_of(row).keys()


def better(row, other):
    """The fate of "`row` has a higher mean Dice than `other`", a function of the evidence.

    It waits until all runs of both rows have ended. A comparison of the protocol keeps or turns
    the headline if it is decided; any other if its interval leaves out 0. Else, or if a row has
    not learnt, the headline is dropped: the runs cannot tell.
    """

    def fate(found):
        if not (is_complete(found, row) and is_complete(found, other)):
            return WAITS
        difference = found.compare(row, other)
        decided = not difference.low <= 0 <= difference.high
        for one in found.primary():
            if {one.row, one.other} == {row, other}:
                decided = one.verdict == evidence.DECIDED
        if not (decided and found.has_learnt(row) and found.has_learnt(other)):
            return DROPPED
        return KEPT if difference.mean > 0 else TURNED

    return fate


def in_every_run(rows, holds):
    """The fate of "in every run of these rows", a function of the evidence.

    One run that is otherwise turns it. It is kept once all runs have ended, and waits until then.
    holds: whether a run, a dictionary as in its file, agrees.
    """

    def fate(found):
        runs = [run for row in rows if row in found.rows for run in found.runs_of(row).values()]
        if not all(map(holds, runs)):
            return TURNED
        return KEPT if all(is_complete(found, row) for row in rows) else WAITS

    return fate


def needs_no_run(found):
    """The fate of what a proof or a calculation says."""
    return KEPT


def sigma_is_small(run):
    """Whether the learned sigma of a run ends below half a pixel."""
    return run["training"]["sigma"][-1][1] < 0.5


def dice_is_low(run):
    """Whether the mean Dice of a run on unseen patients is below one half."""
    return np.mean(run["scores"]["large"]["dice"]) < 0.5


HEADLINES = (
    Headline(
        "All parts of the model together gain {parts} on simulated scans.",
        "The interval left out the seeds, and no network had fitted its training lesions.",
        better("proposed", "backbone"),
    ),
    Headline(
        "Pre-training gains {start} on real scans, more than all parts.",
        "The test was of the pre-training's kind and not of the clinic's. On the clinic's own "
        "left-out lesions the gain was {start-small}.",
        better("transfer", "proposed"),
    ),
    Headline(
        "Combination blocks hurt: {combination}.",
        "They were worse on the training lesions, too: a slower start, not a worse end. One real "
        "seed of three gained.",
        better("backbone", "backbone+combination"),
    ),
    Headline(
        "The prior gains {prior} on simulated scans.",
        "With a Dice of each slice, whoever first silences the empty slices wins. The strength "
        "of the prior learnt at twenty times the network's rate, so it may have been first.",
        better("proposed", "std"),
    ),
    Headline(
        "σ shrinks to 0.4 in every run from scratch.",
        "Early on, a small σ makes the logits louder at once, which a short training rewards. "
        "Rows that ended elsewhere, such as one with a lower rate, were left out of the sentence.",
        in_every_run(("std", "proposed", "sigma from 3"), sigma_is_small),
    ),
    Headline(
        "A perfect c hurts, by {truth} on real scans.",
        "One seed against the luckiest of three; against their mean it is {truth-mean}. A network "
        "that was told c marks too much at 0.5; no other threshold was tried.",
        better("proposed", "c = truth"),
    ),
    Headline(
        "A UNet with the same start is the best of all, {unet} on real scans.",
        "One seed, one kind of test.",
        better("unet, pre-trained", "transfer"),
    ),
    Headline(
        "ResUNet reaches {resunet} on real scans, and misses {resunet-missed} of the lesions.",
        "Its last layer is not normalised, so its logits grow first, and it falls silent. A "
        "timid network, judged at the threshold 0.5: perhaps a matter of the training alone.",
        in_every_run(("resunet",), dice_is_low),
    ),
    Headline(
        "With ten steps of the printed iteration nothing is learnt: {printed}.",
        "One run on each kind of scans. But it is a theorem of *Soft threshold dynamics*.",
        needs_no_run,
    ),
    Headline(
        "Eleven lesions cannot carry the tables.",
        "Only the kindest limit was printed, without the seeds. The full range is wider "
        "(*Reading the tables*), so the sentence is stronger than it was.",
        needs_no_run,
    ),
)


def numbers(short):
    """The numbers of the short trainings by name. short: {"simulated", "real": `Results`}."""
    simulated, real = short["simulated"], short["real"]

    def gap(results, row, other, test="large"):
        return signed(results.compare(row, other, test=test).mean)

    truth, proposed = real.scores("c = truth"), real.scores("proposed")
    assert len(truth) == 1 and proposed[0].mean() == proposed.mean(axis=1).max()
    pair = ("backbone+combination", "backbone")
    combined, backbone = map(real.scores, pair)
    assert ((combined - backbone).mean(axis=1) > 0).sum() == 1
    for results in short.values():
        combined, backbone = (claims.train_dice(results, row).mean() for row in pair)
        assert combined < backbone
    (slow,) = real.runs_of("slow std")
    assert not sigma_is_small(slow) and all(map(sigma_is_small, real.runs_of("proposed")))
    return {
        "parts": gap(simulated, "proposed", "backbone"),
        "start": gap(real, "transfer", "proposed"),
        "start-small": gap(real, "transfer", "proposed", "small"),
        "combination": f"{gap(simulated, *pair)} on simulated, {gap(real, *pair)} on real scans",
        "prior": gap(simulated, "proposed", "std"),
        "truth": f"{proposed[0].mean() - truth.mean():.3f}",
        "truth-mean": f"{proposed.mean() - truth.mean():.3f}",
        "unet": gap(real, "unet, pre-trained", "transfer"),
        "resunet": f"{real.mean('resunet')[0]:.3f}",
        "resunet-missed": f"{claims.missed_and_found(real.scores('resunet'))[0]:.0%}",
        "printed": " and ".join(f"{r.mean('printed iteration')[0]:.2f}" for r in short.values()),
    }


def table(short, found):
    """A row of texts for each headline: what was said, the doubt, the fate."""
    values = numbers(short)
    return [
        [one.said.format(**values), one.doubt.format(**values), f"*{one.fate(found)}*"]
        for one in HEADLINES
    ]


def counts(found):
    """How many headlines have each fate, as a sentence."""
    fates = [one.fate(found) for one in HEADLINES]
    known = {KEPT: "kept", TURNED: "turned", DROPPED: "dropped", WAITS: "waiting"}
    return ", ".join(f"{fates.count(fate)} {word}" for fate, word in known.items())
