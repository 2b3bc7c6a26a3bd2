"""Networks and batches changed in one respect, for rows that the paper's tables lack."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from nodule_lesson import build_model
from nodule_lesson.experiments.grid import model_options
from nodule_lesson.networks.detection_guided import Output
from nodule_lesson.networks.freezing import _still, freeze
from nodule_lesson.std import STDSigmoid, _logits, _step

PRIORS = ("classifier", "truth", "shuffled", "attached")


def build(row, profile):
    """The network of a row, with new random weights."""
    options = model_options(row, profile)
    if row.prior not in PRIORS or row.iteration not in ("derived", "printed"):
        raise ValueError(
            f"prior must be one of {', '.join(PRIORS)}, iteration derived or printed; found "
            f"{row.prior!r} and {row.iteration!r}."
        )
    model = build_model(row.model, options.pop("width", profile.width), **options)
    if row.std:
        model = WithSTD(model)
    if row.prior != "classifier":
        model.std = OtherPrior(model.std, row.prior)
    if row.iteration == "printed":
        model.std = PrintedSTD(model.std)
    return model


def build_plain(row, profile):
    """What is trained before: the same network, with a plain sigmoid."""
    options = model_options(row, profile)
    if row.model == "proposed":
        options["regularisation"] = "none"
    return build_model(row.model, options.pop("width", profile.width), **options)


def freeze_part(model, blocks, part):
    """Hold blocks still, or half of them; return how many parameters get no gradient.

    part: "all", as `transfer.freeze`; "weights": batch norm goes on taking its statistics from the
    new data; "statistics": the weights go on learning. Raises ValueError for another part.
    """
    if part == "all":
        return freeze(model, blocks)
    held = [getattr(model, name) for name in blocks]
    if part == "statistics":
        for block in held:
            block.eval()
            block.register_forward_pre_hook(_still)
        return 0
    if part != "weights":
        raise ValueError(f"part must be all, weights or statistics; found {part!r}.")
    for block in held:
        block.requires_grad_(False)
    return sum(p.numel() for block in held for p in block.parameters())


class Augmented:
    """Batches turned, scaled and shifted at random, in other contrast: images stay in [0, 1].

    Each slice, and its mask with it, by up to 15 degrees, a tenth of its size and 4 pixels; then
    its contrast by up to a fifth and its brightness by up to a tenth. Beyond the border the image
    goes on as it ends there, and the mask is 0.
    """

    DEGREES, SCALE, PIXELS, CONTRAST, BRIGHTNESS = 15, 0.1, 4, 0.2, 0.1

    def __init__(self, batches, seed):
        self.batches, self.random = batches, torch.Generator().manual_seed(seed)

    def __iter__(self):
        return self

    def __next__(self):
        images, masks, has_nodule = next(self.batches)
        turn = math.radians(self.DEGREES) * self.drawn(images)
        scale = 1 + self.SCALE * self.drawn(images)
        # affine_grid counts from -1 to 1 over the side.
        down, right = (2 * self.PIXELS / n * self.drawn(images) for n in images.shape[-2:])
        rows = [scale * turn.cos(), -scale * turn.sin(), right]
        rows += [scale * turn.sin(), scale * turn.cos(), down]
        grid = F.affine_grid(
            torch.stack(rows, 1).view(-1, 2, 3), images.shape, align_corners=False
        )
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        masks = F.grid_sample(masks, grid, align_corners=False)
        contrast = 1 + self.CONTRAST * self.drawn(images)[:, None, None, None]
        brightness = self.BRIGHTNESS * self.drawn(images)[:, None, None, None]
        images = (0.5 + contrast * (images - 0.5) + brightness).clamp(0, 1)
        return images, (masks >= 0.5).to(masks.dtype), has_nodule

    def drawn(self, images):
        """A number in [-1, 1] for each slice."""
        return (2 * torch.rand(len(images), generator=self.random) - 1).to(images.device)

    def state_dict(self):
        return {"batches": self.batches.state_dict(), "random": self.random.get_state()}

    def load_state_dict(self, state):
        self.batches.load_state_dict(state["batches"])
        self.random.set_state(state["random"])


def tell_truth(model, has_nodule):
    """Give a prior that knows the truth the batch's answers."""
    if isinstance(getattr(model, "std", None), OtherPrior):
        model.std.truth = has_nodule


class WithSTD(nn.Module):
    """A network without a classifier, with STD (lambda2 = 0) in the place of its sigmoid."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.std = STDSigmoid(lambda2=0, learn_lambda2=False)

    def forward(self, image):
        u = self.network(image).u
        logits = self.std.logits(u)
        return Output(torch.sigmoid(logits), logits, u)


class _AroundSTD(nn.Module):
    """What stands around an STDSigmoid, and is asked for its numbers."""

    def __init__(self, std):
        super().__init__()
        self.std = std

    @property
    def sigma(self):
        return self.std.sigma

    @property
    def lambda2(self):
        return self.std.lambda2

    def logits(self, u, c):
        """In 32 bits at least, whatever the network computes in, as STDSigmoid."""
        with torch.autocast(u.device.type, enabled=False):
            return self.changed(u if u.dtype == torch.float64 else u.float(), c)

    def values(self, u):
        return (getattr(self.std, n).to(u) for n in ("sigma", "lambda1", "lambda2", "epsilon"))


class OtherPrior(_AroundSTD):
    """STD whose prior is given another c: the truth, a classifier's answer to another crop of the
    batch, or the classifier's own without cutting its gradient off.
    """

    def __init__(self, std, prior):
        super().__init__(std)
        self.prior, self.truth = prior, None

    def changed(self, u, c):
        if self.prior == "truth":
            return self.std.logits(u, self.truth.to(u))
        if self.prior == "shuffled":
            return self.std.logits(u, c[torch.randperm(len(c), device=c.device)])
        # STDSigmoid detaches its c; this is what it does, without that.
        std, c = self.std, c.to(u)[:, None, None, None]
        return _logits(u, *self.values(u), c, std.iterations, std.radius, std.gradient)


class PrintedSTD(_AroundSTD):
    """Eq. (5) as the paper prints it, with x_t in the place of u."""

    def changed(self, u, c):
        sigma, lambda1, lambda2, epsilon = self.values(u)
        c = c.detach().to(u)[:, None, None, None]
        step = _step(torch.zeros_like(u), sigma, lambda1, lambda2, epsilon, c, None)
        z = u
        for _ in range(self.std.iterations):
            x = torch.sigmoid(z)
            z = x / epsilon + step(x)
        return z
