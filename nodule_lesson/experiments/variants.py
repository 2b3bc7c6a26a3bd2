"""Networks and batches that are changed in one respect, for rows outside the paper's tables."""

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
    """The network of a row, with random weights."""
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
    """The network for the pre-training of a row: the same one, with a plain sigmoid."""
    options = model_options(row, profile)
    if row.model == "proposed":
        options["regularisation"] = "none"
    return build_model(row.model, options.pop("width", profile.width), **options)


def freeze_part(model, blocks, part):
    """Freeze blocks, or half of each; return the number of parameters that get no gradient.

    part: "all", as `freezing.freeze`; "weights": batch norm still takes its statistics from the
    new data; "statistics": the weights still learn. Raises ValueError for another part.
    """
    if part == "all":
        return freeze(model, blocks)
    frozen = [getattr(model, name) for name in blocks]
    if part == "statistics":
        for block in frozen:
            block.eval()
            block.register_forward_pre_hook(_still)
        return 0
    if part != "weights":
        raise ValueError(f"part must be all, weights or statistics; found {part!r}.")
    for block in frozen:
        block.requires_grad_(False)
    return sum(p.numel() for block in frozen for p in block.parameters())


class Augmented:
    """Batches whose slices are transformed at random; images stay in [0, 1].

    Each slice is rotated by up to 15 degrees, scaled by up to a tenth and shifted by up to 4
    pixels, and its mask with it. Then its contrast changes by up to a fifth and its brightness by
    up to a tenth. Outside the slice the image repeats its border, and the mask is 0.
    """

    DEGREES, SCALE, PIXELS, CONTRAST, BRIGHTNESS = 15, 0.1, 4, 0.2, 0.1

    def __init__(self, batches, seed):
        self.batches, self.random = batches, torch.Generator().manual_seed(seed)

    def __iter__(self):
        return self

    def __next__(self):
        images, masks, has_nodule = next(self.batches)
        angle = math.radians(self.DEGREES) * self._draw(images)
        scale = 1 + self.SCALE * self._draw(images)
        # affine_grid counts from -1 to 1 over the side.
        down, right = (2 * self.PIXELS / n * self._draw(images) for n in images.shape[-2:])
        rows = [scale * angle.cos(), -scale * angle.sin(), right]
        rows += [scale * angle.sin(), scale * angle.cos(), down]
        grid = F.affine_grid(
            torch.stack(rows, 1).view(-1, 2, 3), images.shape, align_corners=False
        )
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        masks = F.grid_sample(masks, grid, align_corners=False)
        contrast = 1 + self.CONTRAST * self._draw(images)[:, None, None, None]
        brightness = self.BRIGHTNESS * self._draw(images)[:, None, None, None]
        images = (0.5 + contrast * (images - 0.5) + brightness).clamp(0, 1)
        return images, (masks >= 0.5).to(masks.dtype), has_nodule

    def _draw(self, images):
        """A random number in [-1, 1] for each slice."""
        return (2 * torch.rand(len(images), generator=self.random) - 1).to(images.device)

    def state_dict(self):
        return {"batches": self.batches.state_dict(), "random": self.random.get_state()}

    def load_state_dict(self, state):
        self.batches.load_state_dict(state["batches"])
        self.random.set_state(state["random"])


def set_truth(model, has_nodule):
    """Give the true c of the next batch to a network whose prior uses it; others ignore it."""
    if isinstance(getattr(model, "std", None), OtherPrior):
        model.std.truth = has_nodule


class WithSTD(nn.Module):
    """A network without a classifier, with STD (lambda2 = 0) instead of its sigmoid."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.std = STDSigmoid(lambda2=0, learn_lambda2=False)

    def forward(self, image):
        u = self.network(image).u
        logits = self.std.logits(u)
        return Output(torch.sigmoid(logits), logits, u)


class _STDWrapper(nn.Module):
    """A layer that computes other logits from the parameters of an STDSigmoid."""

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
        """Computed in 32 bits at least, outside autocast, as in STDSigmoid."""
        with torch.autocast(u.device.type, enabled=False):
            return self.modified_logits(u if u.dtype == torch.float64 else u.float(), c)

    def parameters_like(self, u):
        """sigma, lambda1, lambda2 and epsilon with the type and on the device of u."""
        return (getattr(self.std, n).to(u) for n in ("sigma", "lambda1", "lambda2", "epsilon"))


class OtherPrior(_STDWrapper):
    """STD whose prior is given another c.

    prior: "truth", the true c; "shuffled", the classifier's c of another crop of the batch;
    "attached", the classifier's own c, whose gradient is not cut off.
    """

    def __init__(self, std, prior):
        super().__init__(std)
        self.prior, self.truth = prior, None

    def modified_logits(self, u, c):
        if self.prior == "truth":
            return self.std.logits(u, self.truth.to(u))
        if self.prior == "shuffled":
            return self.std.logits(u, c[torch.randperm(len(c), device=c.device)])
        # The same as STDSigmoid.logits, which would detach c.
        std, c = self.std, c.to(u)[:, None, None, None]
        return _logits(u, *self.parameters_like(u), c, std.iterations, std.radius, std.gradient)


class PrintedSTD(_STDWrapper):
    """Eq. (5) as the paper prints it, with x_t instead of u."""

    def modified_logits(self, u, c):
        sigma, lambda1, lambda2, epsilon = self.parameters_like(u)
        c = c.detach().to(u)[:, None, None, None]
        step = _step(torch.zeros_like(u), sigma, lambda1, lambda2, epsilon, c, None)
        z = u
        for _ in range(self.std.iterations):
            x = torch.sigmoid(z)
            z = x / epsilon + step(x)
        return z
