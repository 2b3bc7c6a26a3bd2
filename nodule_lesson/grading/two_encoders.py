"""Assignment 2, *A network that you can trust*: two encoders joined, dead weights, a frozen block.

The judges look at numbers that a network gives before and after a step, bit for bit where nothing
may move, at gradients that are exactly zero or not, and at averages that they compute themselves.
The networks are drawn from a seed, once in the student's process and once for the judge.
"""

from functools import partial

import numpy as np
import torch
from torch import nn

from nodule_lesson.grading.questions import Check, Question, Written

TITLE = "A network that you can trust"
WRITTEN = {
    "stillness": Written(
        (2, "All that moves although gradients are switched off is named, and for each it is said "
            "by what it is moved: statistics by looking, weights by an optimiser that remembers."),
        (1, "It is said what the proof of question 3 shows, and for which steps alone."),
        (2, "It is said what a frozen block does not fix: what enters it, what other blocks make "
            "of its answer; with one experiment or number of one's own."),
    ),
    "average": Written(
        (2, "The two networks are compared with one's own numbers, and each average is named in "
            "full: over what, and what becomes of empty masks."),
        (2, "For each average it is said which error it hides, and how a system without merit "
            "could score well in it."),
        (2, "One report is chosen, and defended for a named use; it has misses and false alarms "
            "beside an overlap."),
        (2, "It is said what these numbers cannot show: how many patients there are, where the "
            "networks were trained, what changes with another share of empty slices."),
    ),
}  # fmt: skip
STEPS = 10


# --- the networks, printed in the sheet ----------------------------------------------------------


class Encoder(nn.Sequential):
    """Features of an image, (N, 1, H, W) -> (N, channels, H, W): for each rate a 3x3 convolution.

    Each convolution is dilated by its rate and followed by batch normalisation and SiLU.
    """

    def __init__(self, channels, rates):
        layers = []
        for place, rate in enumerate(rates):
            inputs = channels if place else 1
            layers += [
                nn.Conv2d(inputs, channels, 3, padding=rate, dilation=rate, bias=False),
                nn.BatchNorm2d(channels),
                nn.SiLU(),
            ]
        super().__init__(*layers)


class Towers(nn.Module):
    """Two towers that look at one image, (N, 1, H, W) -> (N,): a kind of classifier.

    Each layer of a tower is (kernel, stride, rate). The second tower begins with a last
    normalisation whose weights are 0, as residual networks often do.
    """

    def __init__(self, channels, left, right):
        super().__init__()
        self.left, self.right = (self._tower(channels, layers) for layers in (left, right))
        nn.init.zeros_(self.right[-2].weight)
        self.spare = nn.Linear(channels, 1)
        self.answer = nn.Linear(2 * channels, 1)

    @staticmethod
    def _tower(channels, layers):
        parts = []
        for place, (kernel, stride, rate) in enumerate(layers):
            inputs, padding = channels if place else 1, rate * (kernel // 2)
            parts += [
                nn.Conv2d(inputs, channels, kernel, stride, padding, rate, bias=False),
                nn.BatchNorm2d(channels),
                nn.SiLU(),
            ]
        return nn.Sequential(*parts)

    def forward(self, image):
        features = [tower(image).mean((2, 3)) for tower in (self.left, self.right)]
        return self.answer(torch.cat(features, 1)).flatten()


class Chain(nn.Module):
    """Three blocks in a row, (N, 1, H, W) -> (N, 1, H, W). The middle one is to be frozen."""

    def __init__(self, channels, rates):
        super().__init__()
        self.first = Encoder(channels, rates)
        self.middle = nn.ModuleDict(
            {
                "spread": nn.Conv2d(channels, channels, 3, padding=1),
                "norm": nn.BatchNorm2d(channels),
                "drop": nn.Dropout(0.2),
            }
        )
        self.last = nn.Conv2d(channels, 1, 1)

    def through_middle(self, features):
        """What the middle block makes of some features, of the same shape."""
        spread = self.middle["norm"](self.middle["spread"](features))
        return self.middle["drop"](torch.relu(spread))

    def forward(self, image):
        return self.last(self.through_middle(self.first(image)))


# --- what a seed chooses -------------------------------------------------------------------------


def _seed(random):
    """For torch, with which both processes draw the same weights."""
    return int(random.integers(2**31))


def _rates(random, most=3):
    return [int(rate) for rate in random.integers(1, most + 1, 2)]


def _joined_inputs(random):
    height, width = random.choice(np.arange(6, 11), size=2, replace=False)
    return {
        "seed": _seed(random),
        "channels": [int(n) for n in random.choice(np.arange(3, 7), size=2, replace=False)],
        "rates": [_rates(random), _rates(random)],
        "images": random.normal(size=(3, 1, height, width)),
        "wanted": random.normal(size=(3, 1, height, width)),
    }


def _dead_inputs(random):
    height, width = random.choice([6, 7, 8, 9], size=2, replace=False) * random.permutation([1, 2])
    long, short = max(height, width), min(height, width)
    # Each layer reads all of the map before it, so a tap is dead exactly if it meets no pixel.
    left = [(3, 1, int(random.integers(1, 3))), (3, 2, int(random.integers(short, long))),
            (5, 2, 1)]  # fmt: skip
    right = [(3, 2, 1), (3, 1, int(random.integers(2, short))), (5, 1, int(random.integers(2, 5)))]
    return {"seed": _seed(random), "channels": int(random.integers(2, 5)), "left": left,
            "right": right, "shape": [int(height), int(width)]}  # fmt: skip


STILL = ("nothing happens", "others learn", "it answers", "it gets gradients")
WEIGHTS_MOVE = ("one bit of a weight", "a step", "another weight", "two weights exchanged")
STATISTICS_MOVE = ("it looks", "it counts", "a buffer that is not saved")


def _still_inputs(random):
    kinds = random.permutation([*STILL, *WEIGHTS_MOVE, *STATISTICS_MOVE]).tolist()
    return {"seed": _seed(random), "channels": int(random.integers(3, 6)), "kinds": kinds}


def _hold_inputs(random):
    height, width = random.choice(np.arange(6, 10), size=2, replace=False)
    return {
        "seed": _seed(random),
        "channels": int(random.integers(3, 6)),
        "rates": _rates(random),
        "images": random.normal(size=(STEPS, 4, 1, height, width)),
    }


def _discs(random, count, side, sizes):
    """Discs of these radii at random places, (count, side, side); no pixel for a radius of 0."""
    rows, columns = np.indices((side, side))
    middles = random.uniform(side / 3, 2 * side / 3, (count, 2))
    return np.array([(rows - y) ** 2 + (columns - x) ** 2 < radius**2
                     for (y, x), radius in zip(middles, sizes, strict=True)])  # fmt: skip


def _report_inputs(random):
    """Five lesions of two slices, four slices of no lesion; some of the truth is empty."""
    count, side = 14, int(random.integers(12, 17))
    lesion = [f"scan {n // 4} nodule {n // 2}" if n < 10 else "" for n in range(count)]
    radius = random.uniform(1.5, 4.0, count)
    radius[7:] = 0  # also of the lesion of slices 6 and 7, and of one that one reader alone saw
    truth = _discs(random, count, side, radius)
    marked = truth & (random.random(truth.shape) < 0.7)
    marked |= _discs(random, count, side, random.permutation([0.0, 1.6] * 7))
    marked[:2] = np.roll(truth[:2], side // 2, axis=1) & ~truth[:2]  # a miss, though marked
    marked[-1] = False
    order = random.permutation(count)
    return {"marked": marked[order].astype(float), "truth": truth[order].astype(float),
            "lesion": [lesion[n] for n in order]}  # fmt: skip


def _paradox_inputs(random):
    """Large and small nodules, and two empty slices."""
    count, side = int(random.integers(6, 10)), int(random.integers(20, 27))
    radius = np.where(np.arange(count) % 2, random.uniform(1.5, 2.2, count),
                      random.uniform(5.0, 6.5, count))  # fmt: skip
    radius[:2] = 0
    truth = _discs(random, count, side, radius)
    return {"truth": truth[random.permutation(count)].astype(float)}


# --- what is asked, beside the student's code ----------------------------------------------------


def _ask_joined(student, seed, channels, rates, images, wanted):
    images, wanted = torch.tensor(images), torch.tensor(wanted)
    found = [_of_joined(student, seed, channels, rates, images, wanted, attached)
             for attached in (True, False)]  # fmt: skip
    return {name: torch.stack([one[name] for one in found]) for name in found[0]}


def _of_joined(student, seed, channels, rates, images, wanted, attached):
    """What the network gives at first and after some steps, and which gradients reach where."""
    torch.manual_seed(seed)
    encoders = outliner, looker = [Encoder(*pair) for pair in zip(channels, rates, strict=True)]
    model = student(*encoders, tuple(channels), attached).double().eval()

    def answers():
        with torch.no_grad():
            return [part.clone() for part in model(images)]

    found = dict(zip(("u", "c"), answers(), strict=True))
    with torch.no_grad():
        alone = [model(image[None]) for image in images]
    found["u_alone"], found["c_alone"] = (torch.cat(part) for part in zip(*alone, strict=True))
    with _other_weights(looker):
        found["u_other"], found["c_other"] = answers()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    for _ in range(STEPS):
        optimiser.zero_grad()
        ((model(images)[0] - wanted) ** 2).mean().backward()
        optimiser.step()
    model.eval()
    found["u_later"] = answers()[0]
    with _other_weights(looker):
        found["u_later_other"] = answers()[0]
    u, c = model(images)
    found["outline_to_looker"] = _reached(((u - wanted) ** 2).mean(), looker)
    found["answer_to_looker"] = _reached((c**2).mean(), looker)
    found["answer_to_outliner"] = _reached((c**2).mean(), outliner)
    return found


class _other_weights:
    """Within `with`: the block has other weights."""

    def __init__(self, block):
        self.block = block

    def __enter__(self):
        self.kept = [one.detach().clone() for one in self.block.parameters()]
        with torch.no_grad():
            for one in self.block.parameters():
                one.mul_(-0.7).add_(0.3)

    def __exit__(self, *error):
        with torch.no_grad():
            for one, kept in zip(self.block.parameters(), self.kept, strict=True):
                one.copy_(kept)


def _reached(loss, *blocks):
    """The largest gradient in each tensor of some blocks; 0 for one that a loss does not reach."""
    weights = [one for block in blocks for one in block.parameters()]
    if not loss.requires_grad:
        return torch.zeros(len(weights), dtype=torch.float64)
    learned = [one for one in weights if one.requires_grad]
    slopes = torch.autograd.grad(loss, learned, retain_graph=True, allow_unused=True)
    sizes = {id(one): slope.abs().max() for one, slope in zip(learned, slopes, strict=True)
             if slope is not None}  # fmt: skip
    return torch.stack([sizes.get(id(one), loss.new_zeros(())) for one in weights])


def _towers(seed, channels, left, right):
    torch.manual_seed(seed)
    return Towers(channels, left, right).eval()


def _ask_dead(student, shape, **network):
    network = _towers(**network)
    names = [(name, tuple(one.shape)) for name, one in network.named_parameters()]
    dead = student(network, tuple(shape))
    parts = []
    for name, size in names:
        part = np.asarray(dead[name])
        if part.shape != size:
            raise ValueError(f"{name} should have the shape {size}, it has {part.shape}.")
        parts.append(part.astype(bool).ravel())
    return {"dead": np.concatenate(parts)}


class _Scale(nn.Module):
    """A factor for all, which is kept in a buffer that a saved network does not contain."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.ones(()), persistent=False)

    def forward(self, features):
        return self.factor * features


def _ask_still(student, seed, channels, kinds):
    said = []
    for place, kind in enumerate(kinds):
        torch.manual_seed(seed + place)
        block = nn.Sequential(Encoder(channels, (1, 2)), _Scale(), nn.Conv2d(channels, 1, 1))
        other = nn.Conv2d(1, 1, 1)
        image = torch.randn(4, 1, 6, 5)
        answer = student(block, partial(_act, kind, block, other, image))
        if not isinstance(answer, bool | np.bool_):
            raise TypeError("is_still should return True or False.")
        said.append(bool(answer))
    return {"said": said}


def _act(kind, block, other, image):
    """Something happens to a block, or to another one."""
    first = block[0][0]
    block.train(kind not in ("it answers", "others learn", "a step", "it gets gradients"))
    if kind in ("it answers", "it looks"):
        block(image)
    elif kind == "others learn":
        with torch.no_grad():
            features = block(image)
        other(features).square().mean().backward()
        torch.optim.SGD(other.parameters(), lr=0.1).step()
    elif kind == "it gets gradients":
        block(image).square().mean().backward()
    elif kind == "a step":
        block(image).square().mean().backward()
        torch.optim.SGD(block.parameters(), lr=0.1).step()
    elif kind == "another weight":
        first.weight = nn.Parameter(first.weight.detach() + 0.1)
    elif kind == "it counts":
        block[0][1].num_batches_tracked += 1
    elif kind == "a buffer that is not saved":
        block[1].factor.mul_(2)
    with torch.no_grad():
        flat = first.weight.view(-1)
        if kind == "one bit of a weight":
            flat[3] = torch.nextafter(flat[3], torch.tensor(9.0))
        elif kind == "two weights exchanged":
            flat[[1, 4]] = flat[[4, 1]].clone()


def _ask_hold(student, seed, channels, rates, images):
    torch.manual_seed(seed)
    images = torch.tensor(images).float()
    model = Chain(channels, rates)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)

    def steps(some):
        for batch in some:
            model.train()
            # The gradients of earlier steps stay, as zeros.
            optimiser.zero_grad(set_to_none=False)
            (model(batch) - batch).square().mean().backward()
            optimiser.step()

    steps(images[:3])  # so that the optimiser remembers
    student(model, model.middle)
    before = _state(model)
    probe = torch.randn(4, channels, 5, 6)
    found = {}
    for name, taken in (("answer", images[3:4]), ("answer_later", images[4:])):
        steps(taken)
        model.eval()
        model.train()
        with torch.no_grad():
            found[name] = model.through_middle(probe)
            found[f"{name}_alone"] = torch.cat([model.through_middle(one[None]) for one in probe])
    others = model.first, model.last
    found["others_reached"] = _reached((model(images[0]) - images[0]).square().mean(), *others)
    after = _state(model)
    for part in ("weights", "statistics"):
        found[part], found[f"{part}_later"] = before[part], after[part]
    return found


def _state(model):
    """Copies of all numbers of the middle block: its weights and its statistics."""
    parts = {"weights": model.middle.parameters(), "statistics": model.middle.buffers()}
    return {name: torch.cat([one.detach().double().flatten() for one in some])
            for name, some in parts.items()}  # fmt: skip


def _masks(array):
    return np.asarray(array) > 0.5


REPORT = ("lesions", "missed", "alarms", "slices")


def _ask_report(student, marked, truth, lesion):
    found = student(_masks(marked), _masks(truth), list(lesion))
    return {name: found[name] for name in REPORT}


def _ask_paradox(student, truth):
    a, b = student(_masks(truth))
    return {"a": a, "b": b}


# --- the judges ----------------------------------------------------------------------------------


def _no_crop_hears_another(inputs, u, c, u_alone, c_alone, **others):
    inside = ((c >= 0) & (c <= 1)).all()
    return inside and np.allclose(u, u_alone) and np.allclose(c, c_alone)


def _begins_alone(inputs, u, u_other, c, c_other, **others):
    return (u == u_other).all() and np.abs(c - c_other).max() > 1e-9


def _listens_later(inputs, u_later, u_later_other, **others):
    return (np.abs(u_later - u_later_other).max((1, 2, 3, 4)) > 1e-9).all()


def _attached_or_not(inputs, outline_to_looker, **others):
    attached, detached = outline_to_looker
    return (attached > 0).all() and (detached == 0).all() and _listens_later(inputs, **others)


def _answer_teaches_looker_alone(inputs, answer_to_looker, answer_to_outliner, **others):
    return (answer_to_looker > 0).all() and (answer_to_outliner == 0).all()


def alive(shape, **network):
    """Which weights of the towers have any influence, in one vector: those with a gradient.

    All weights are drawn anew, since a 0 hides those before it. A tap that meets nothing but the
    zeros of the padding has a gradient of exactly 0; any other has one with probability 1.
    """
    towers = _towers(**network).double()
    with torch.no_grad():
        for one in towers.parameters():
            one.normal_()
    slopes = [torch.zeros_like(one) for one in towers.parameters()]
    for _ in range(3):
        image = torch.randn(1, 1, *shape, dtype=torch.float64)
        found = torch.autograd.grad(towers(image).sum(), list(towers.parameters()),
                                    allow_unused=True)  # fmt: skip
        for slope, new in zip(slopes, found, strict=True):
            slope += 0 if new is None else new.abs()
    return np.concatenate([(slope > 0).numpy().ravel() for slope in slopes])


def _none_is_alive(inputs, dead):
    lives, dead = alive(**inputs), dead > 0.5
    return not (dead & lives).any() and (dead & ~lives).sum() >= 0.5 * (~lives).sum()


def _all_are_named(inputs, dead):
    lives, dead = alive(**inputs), dead > 0.5
    return dead[~lives].all() and (dead & lives).sum() <= 0.5 * lives.sum()


def _says(inputs, said, still):
    at = [place for place, kind in enumerate(inputs["kinds"]) if kind in still]
    return said[at]


def _sees_weights(inputs, said):
    return _says(inputs, said, STILL).all() and not _says(inputs, said, WEIGHTS_MOVE).any()


def _sees_statistics(inputs, said):
    return _says(inputs, said, STILL).all() and not _says(inputs, said, STATISTICS_MOVE).any()


def _weights_are_still(inputs, weights, weights_later, **others):
    return (weights == weights_later).all()


def _statistics_are_still(inputs, statistics, statistics_later, **others):
    return (statistics == statistics_later).all()


def _answers_are_still(inputs, answer, answer_alone, answer_later, answer_later_alone, **others):
    # Alone a convolution may add in another order, so only nearly the same.
    alone = np.allclose(answer, answer_alone, atol=1e-5)
    later = np.allclose(answer_later, answer_later_alone, atol=1e-5)
    return alone and later and np.allclose(answer, answer_later, atol=1e-6)


def _others_learn(inputs, others_reached, **others):
    return (others_reached > 0).all() and _weights_are_still(inputs, **others)


def _dice(marked, truth):
    """2 |A and B| / (|A| + |B|); 1 for two empty masks."""
    total = marked.sum() + truth.sum()
    return 2 * (marked & truth).sum() / total if total else 1.0


def _wanted_report(inputs):
    marked, truth = _masks(inputs["marked"]), _masks(inputs["truth"])
    label = np.array(inputs["lesion"])
    lesions = [label == name for name in np.unique(label) if name and truth[label == name].any()]
    empty = ~truth.any((1, 2))
    return {
        "lesions": np.mean([_dice(marked[at], truth[at]) for at in lesions]),
        "missed": np.mean([not (marked[at] & truth[at]).any() for at in lesions]),
        "alarms": marked[empty].any((1, 2)).mean(),
        "slices": np.mean([_dice(*pair) for pair in zip(marked, truth, strict=True)]),
    }


def _is_reported(name):
    def holds(inputs, **found):
        return abs(found[name] - _wanted_report(inputs)[name]) < 1e-6

    return holds


def _averages(truth, marked):
    """Pooled Dice, and the mean over the slices with a nodule."""
    seen = truth.any((1, 2))
    pairs = zip(marked[seen], truth[seen], strict=True)
    return _dice(marked, truth), np.mean([_dice(*pair) for pair in pairs])


def _orders_cross(inputs, a, b):
    truth = _masks(inputs["truth"])
    if not np.isin([a, b], (0, 1)).all():
        return False
    a, b = _masks(a), _masks(b)
    seen = truth.any((1, 2))
    for one in (a, b):
        if one[~seen].any() or not (one & truth)[seen].any((1, 2)).all():
            return False
    (pooled_a, mean_a), (pooled_b, mean_b) = _averages(truth, a), _averages(truth, b)
    return pooled_a > pooled_b + 0.05 and mean_b > mean_a + 0.05


def _joined_shapes(images, **inputs):
    fields = dict.fromkeys(("u", "u_alone", "u_other", "u_later", "u_later_other"),
                           (2, *images.shape))  # fmt: skip
    answers = dict.fromkeys(("c", "c_alone", "c_other"), (2, len(images)))
    reached = ("outline_to_looker", "answer_to_looker", "answer_to_outliner")
    return {**fields, **answers, **dict.fromkeys(reached, (2, 6))}


def _hold_shapes(channels, rates, **inputs):
    weights = 9 * channels**2 + 3 * channels
    answers = ("answer", "answer_alone", "answer_later", "answer_later_alone")
    return {
        **dict.fromkeys(answers, (4, channels, 5, 6)),
        **dict.fromkeys(("weights", "weights_later"), (weights,)),
        **dict.fromkeys(("statistics", "statistics_later"), (2 * channels + 1,)),
        "others_reached": (3 * len(rates) + 2,),
    }


def _dead_shapes(shape, **network):
    return {"dead": (sum(one.numel() for one in _towers(**network).parameters()),)}


QUESTIONS = (
    Question(
        "Joined", _joined_inputs, _ask_joined, _joined_shapes,
        (
            Check("c lies between 0 and 1, and no crop hears another (in evaluation mode)", 1,
                  _no_crop_hears_another),
            Check("at the start u does not depend on the looker, bit for bit, and c does", 1,
                  _begins_alone),
            Check("after ten steps on the outline's loss, u depends on the looker", 1,
                  _listens_later),
            Check("attached, this loss then reaches all tensors of the looker; otherwise none, "
                  "though u depends on it", 2, _attached_or_not),
            Check("a loss of c reaches all tensors of the looker and none of the outliner", 1,
                  _answer_teaches_looker_alone),
        ),
    ),
    Question(
        "dead_weights", _dead_inputs, _ask_dead, _dead_shapes,
        (
            Check("no weight that you call dead is alive, and half of the dead ones are named", 3,
                  _none_is_alive),
            Check("all dead weights are called dead, and half of the others are not", 2,
                  _all_are_named),
        ),
    ),
    Question(
        "is_still", _still_inputs, _ask_still,
        lambda kinds, **inputs: {"said": (len(kinds),)},
        (
            Check("what stands still is called still, and whatever weight moves is noticed", 2,
                  _sees_weights),
            Check("what stands still is called still, and whatever statistic moves is noticed", 2,
                  _sees_statistics),
        ),
    ),
    Question(
        "hold_still", _hold_inputs, _ask_hold, _hold_shapes,
        (
            Check("no bit of a weight of the block has moved", 1, _weights_are_still),
            Check("no bit of its statistics has moved", 1, _statistics_are_still),
            Check("while the model trains, the block answers a crop in the same way, whatever "
                  "else is in the batch", 2, _answers_are_still),
            Check("its weights stand still, and all weights before and behind it get gradients", 1,
                  _others_learn),
        ),
    ),
    Question(
        "report", _report_inputs, _ask_report,
        lambda **inputs: dict.fromkeys(REPORT, ()),
        tuple(Check(words, 1, _is_reported(name)) for name, words in (
            ("lesions", "lesions: the mean over lesions is right"),
            ("missed", "missed: the share of missed lesions is right"),
            ("alarms", "alarms: the share of marked empty slices is right"),
            ("slices", "slices: the mean over all slices is right"),
        )),
    ),
    Question(
        "paradox", _paradox_inputs, _ask_paradox,
        lambda truth: {"a": truth.shape, "b": truth.shape},
        (
            Check("pooled a is better by 0.05, by slice b is, under the conditions of the sheet",
                  3, _orders_cross),
        ),
    ),
)  # fmt: skip
