"""Numbers in the text on reading the tables. Each function returns texts by name."""

import numpy as np
from scipy import stats

from nodule_lesson.chapters.reading_the_tables import computations, live
from nodule_lesson.evaluation import statistics
from nodule_lesson.experiments import evidence, paper
from nodule_lesson.experiments.claims import missed_and_found, misses_and_contours
from nodule_lesson.experiments.grid import PROFILES
from nodule_lesson.glue import signed


def lesions(results, a, b):
    """How far lesions differ, and how far two methods. a, b: their Dice, means over seeds."""
    spread, gap = a.std(ddof=1), a.mean() - b.mean()
    assert spread > 3 * gap > 0
    large = results.lesions["large"]["patient"]
    return {
        "over-lesions": f"{spread:.2f}",
        "over-models": f"{gap:.2f}",
        "material-lesions": f"{len(large):,}",
        "material-patients": f"{len(set(large)):,}",
    }


def seeds(both):
    """What intervals by patients say of two seeds of one method, and of the seeds themselves.

    Holds the sentence that they miss 0 in more than half of the pairs.
    both: {"simulated": results, "real": results}.
    """
    texts, inside, total = {}, 0, 0
    for name, results in both.items():
        pairs = computations.twins(results)
        apart = sum(pair.sign != 0 for pair in pairs)
        assert apart > len(pairs) / 2
        texts |= {
            f"twins-{name}": f"{apart}",
            f"twins-{name}-share": f"{apart / len(pairs):.0%}",
            "twins": f"{len(pairs)}",
        }
    patients, crossed, means = computations.two_intervals(both["simulated"], "proposed", "unet")
    assert patients.sign == 1 and crossed.low < 0 < crossed.high
    for pair in computations.COMPARED:
        short, long, each = computations.two_intervals(both["real"], *pair)
        inside += int(((short.low < each) & (each < short.high)).sum())
        total += len(each)
        assert long.low < short.low and long.high > short.high, "the caption says longer"
    assert inside < total / 2
    return texts | {
        "seeds-inside": f"{inside}",
        "seeds-total": f"{total}",
        "pair-mean": signed(patients.mean),
        "pair-patients": f"{signed(patients.low)} to {signed(patients.high)}",
        "pair-crossed": f"{signed(crossed.low)} to {signed(crossed.high)}",
        "pair-seeds": ", ".join(signed(mean) for mean in sorted(means)),
    }


def coverage(design):
    """How often the crossed intervals hold the truth, and those by patient with seven patients."""
    held = [row["held"] for row in design["coverage"]]
    seven = computations.coverage_of_seven()
    assert min(held) > 0.93 and seven < 0.9
    profile = PROFILES["night"]
    return {
        "held-least": f"{min(held):.0%}",
        "held-most": f"{max(held):.0%}",
        "held-settings": f"{len(held)}",
        "held-draws": f"{design['design']['draws']:,}",
        "held-seven": f"{seven:.0%}",
        "our-clinics": f"{profile.clinics}",
        "our-seeds": f"{profile.seeds}",
        "our-runs": f"{profile.clinics * profile.seeds}",
        "our-lesions": f"{design['design']['lesions']}",
        "our-patients": f"{design['design']['patients']}",
        "t-of-two": f"{stats.t.isf(0.025, profile.clinics - 1):.1f}",
    }


def answers_of_the_figure():
    """What the live figure shows for its four tasks. Holds the answers below it."""
    start = {control.name: control.value for control in live.CONTROLS}
    pair, count = "proposed − UNet", start["count"]
    shown = {name: live.compute(start | {"pair": name}) for name in live.PAIRS}
    at = count - live.FEWEST
    right = {name: result["right"][at] for name, result in shown.items()}
    half = next(
        n for n in range(live.FEWEST, live.MOST + 1) if shown[pair]["right"][n - live.FEWEST] > 0.5
    )
    often = [name for name in live.PAIRS if right[name] > 0.5]
    assert often == ["prior − no prior", "all free − S9 frozen"], "change the text"
    truths = {name: abs(result["truth"]) for name, result in shown.items()}
    # The two are the largest, by the mean that the figure shows.
    assert sorted(truths, key=truths.get)[-2:] == sorted(often, key=truths.get)
    means, says = (of_tests[:, count - 1] for of_tests in live.tests_of(pair))
    named = means[says > 0].mean()
    assert named > 1.3 * shown[pair]["truth"], "the text says exaggerated"
    assert count == computations.LESIONS
    return {
        "draws-right": f"{right[pair]:.0%}",
        "draws-wrong-sign": f"{1000 * shown[pair]['wrong_side']:.0f}",
        "draws-half": f"{half}",
        "draws-s9": f"{right[often[1]]:.0%}",
        "draws-prior": f"{right[often[0]]:.0%}",
        "draws-s9-truth": f"{truths[often[1]]:.2f}",
        "draws-prior-truth": f"{truths[often[0]]:.2f}",
        "draws-truth": signed(shown[pair]["truth"]),
        "draws-named": signed(named),
    }


def eleven(both, found):
    """What eleven lesions show beside the paper's leads. found: `evidence.Evidence`.

    Holds the sentences that all leads are below what one or three seeds show, and two of them
    above the kindest limit.
    """
    leads = computations.leads()
    shown = {
        seeds: [
            computations.shown_by_eleven(results, row, seeds)
            for results in both.values()
            for row in leads
        ]
        for seeds in (1, 3)
    }
    kindest = statistics.detectable(0.05, computations.LESIONS)
    assert max(leads.values()) < min(shown[3]) < min(shown[1])
    assert [row for row in leads if leads[row] > kindest] == ["unet", "deeplabv3+"]
    longer = [
        statistics.detectable(sd, computations.LESIONS) for sd in computations.spreads(found)
    ]
    assert max(longer) < max(shown[1]), "the text says that they scatter less"
    ends = sorted({f"{min(longer):.2f}", f"{max(longer):.2f}"})
    return {
        "lead-least": f"{min(leads.values()):.3f}",
        "lead-most": f"{max(leads.values()):.3f}",
        "see-kindest": f"{kindest:.3f}",
        "see-longer": " to ".join(ends),
        **{
            f"see-{word}": f"{min(shown[seeds]):.2f} to {max(shown[seeds]):.2f}"
            for word, seeds in (("one", 1), ("three", 3))
        },
    }


def printed_differences():
    """The paper's differences for those comparisons of the protocol that it has in its tables."""
    dice = paper.MEASURES.index("dice")
    printed = {
        ours: paper.TABLES[number][theirs][dice]
        for number in paper.TABLES
        for theirs, ours in paper.ROWS[number].items()
    }
    return [
        printed[pair["row"]] - printed[pair["other"]]
        for pair in evidence.protocol()["comparisons"]
        if {pair["row"], pair["other"]} <= printed.keys()
    ]


def power(design):
    """How likely our design decides a difference; with no effect of clinics, and with a large one.

    Holds the sentence that most of the paper's differences would probably stay open.
    """
    at = {
        (row["clinic"] > 0, row["difference"]): (row["alone"], row["first_of_eight"])
        for row in design["power"]
    }
    texts = {}
    for word, difference in (("five", 0.05), ("ten", 0.1)):
        for name, place in (("alone", 0), ("eight", 1)):
            ends = [at[clinic, difference][place] for clinic in (True, False)]
            texts[f"power-{word}-{name}"] = f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f}"
    small = [gap for gap in printed_differences() if gap <= 0.05]
    assert len(small) > len(printed_differences()) / 2
    assert at[False, 0.05][1] < 0.5
    return texts | {
        "printed-small": f"{len(small)}",
        "printed-all": f"{len(printed_differences())}",
        "comparisons": f"{len(evidence.protocol()['comparisons'])}",
    }


def parts(real):
    """Misses and contours in two leads of the short runs, on real slices."""
    texts = {}
    for row in ("resunet", "deeplabv3+"):
        scores = [real.scores(name) for name in ("proposed", row)]
        misses, contours = misses_and_contours(*scores)
        name = row.rstrip("+")
        texts |= {f"misses-{name}": signed(misses), f"contours-{name}": signed(contours)}
        texts[f"missed-{name}"] = f"{missed_and_found(scores[1])[0]:.0%}"
    assert float(texts["misses-resunet"]) > float(texts["contours-resunet"])
    assert float(texts["misses-deeplabv3"]) < float(texts["contours-deeplabv3"])
    dice, iou = (paper.MEASURES.index(name) for name in ("dice", "iou"))
    bound = [
        1 - row[dice] / (2 - row[dice] / row[iou])
        for rows in paper.TABLES.values()
        for row in rows.values()
    ]
    return texts | {"most-bound": f"{max(bound):.0%}"}


def words_of_the_protocol():
    """What a row must reach to have learnt; the paper's columns; chance among the comparisons."""
    count = len(evidence.protocol()["comparisons"])
    return {
        "learnt": f"{evidence.LEARNT:.2f}",
        "count": f"{count}",
        "some-by-chance": f"{1 - (1 - evidence.LEVEL) ** count:.0%}",
    }


def weights(first, second):
    """The two methods of the text on pooled Dice. Holds the sentence that the order turns.

    first, second: (marked, true, shared) pixels of the same lesions.
    """
    one, other = np.array(first), np.array(second)
    assert (2 * one[:, 2] / one[:, :2].sum(1) > 2 * other[:, 2] / other[:, :2].sum(1)).all()
    (mean, pooled), (its_mean, its_pooled) = map(computations.one_over_all, (first, second))
    assert mean > its_mean and pooled < its_pooled
    return {}
