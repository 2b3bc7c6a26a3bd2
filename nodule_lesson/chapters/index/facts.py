"""The numbers of the first page, and the assertions that hold its sentences to the results."""

import torch
from scipy import ndimage

from nodule_lesson import experiments, std
from nodule_lesson.evaluation import statistics
from nodule_lesson.experiments import claims, paper
from nodule_lesson.experiments.grid import TABLES
from nodule_lesson.glue import format_difference
from nodule_lesson.live.scenes import scene


def pieces_left():
    """How many connected pieces the mask of the noisy disc has, by weight of the boundary term."""
    u = torch.as_tensor(scene("noisy disc")).double()
    left = {}
    for name, lambda1 in (("sigmoid", 0.0), ("paper", 1.0), ("most", 1.8)):
        x = std.soft_threshold_dynamics(u, sigma=2.0, lambda1=lambda1)
        left[f"index-pieces-{name}"] = ndimage.label((x > 0.5).numpy())[1]
    assert left["index-pieces-sigmoid"] > left["index-pieces-paper"] > 100
    assert left["index-pieces-most"] < left["index-pieces-paper"] / 2
    return {name: format(number, ",") for name, number in left.items()}


def what_came_out():
    """The numbers of the short trainings, on simulated and on real slices."""
    both = {"s": experiments.read("simulated"), "r": experiments.read("real")}
    printed = {row for rows in TABLES.values() for row in rows}
    texts, fitted = {}, []
    for letter, results in both.items():
        texts[f"index-lesions-{letter}"] = f"{len(results.lesions['large']['lesion']):,}"
        for key, row in (("printed", "printed iteration"), ("proposed", "proposed")):
            texts[f"index-{key}-{letter}"] = format(results.mean(row)[0], ".2f")
        for key, pair in (
            ("parts", ("proposed", "backbone")),
            ("start", ("transfer", "proposed")),
        ):
            texts[f"index-{key}-{letter}"] = format_difference(results.compare(*pair))
        fitted += [claims.train_dice(results, row).mean() for row in printed]
        assert {len(results.runs_of(row)) for row in printed} == {3}
        assert not printed - {*results.rows}
        assert len(results.runs_of("printed iteration")) == 1
        assert results.mean("printed iteration")[0] < 0.1 < results.mean("proposed")[0]
        assert results.compare("transfer", "proposed").sign == 1
    assert [r.compare("proposed", "backbone").sign for r in both.values()] == [1, 0]
    first, second = sorted((row[2] for row in paper.TABLE1.values()), reverse=True)[:2]
    sees = [
        statistics.detectable(results.compare("proposed", row).sd, 11)
        for results in both.values()
        for row in claims.RIVALS
    ]
    assert first - second < min(sees) and max(fitted) < 0.9
    return texts | {
        "index-fitted": format(max(fitted), ".2f"),
        "index-sees": f"{min(sees):.2f} to {max(sees):.2f}",
        "index-leads": format(first - second, ".3f"),
    }
