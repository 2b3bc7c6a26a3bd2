"""Data for the chapter on training, and two trainings for a figure."""

import numpy as np
import torch

from nodule_lesson.data import normalise, open_demo
from nodule_lesson.networks import build_model
from nodule_lesson.training import Batches, loop
from nodule_lesson.training.losses import dice_loss, multitask_loss


def slices():
    """All slices of the two simulated sets, and which of them are the test.

    Returns images (N, 128, 128) scaled by the paper's Eq. (6), masks of the same shape, booleans,
    the patient of each slice, and whether it belongs to the test: a quarter of the patients
    scanned as in LUNA16.
    """
    sets = [open_demo(name) for name in ("luna_like", "clinic_like")]
    images = np.concatenate([normalise(np.asarray(one.images)) for one in sets])
    masks = np.concatenate([np.asarray(one.masks) > 0 for one in sets])
    patients = np.concatenate([one.slices["patient"] for one in sets])
    luna = np.unique(sets[0].slices["patient"])
    aside = np.random.default_rng(1).permutation(luna)[: len(luna) // 4 + 1]
    return images, masks, patients, np.isin(patients, aside)


def crops(images, masks, side, times=1, reach=10):
    """Square crops around the centre, then again `times - 1` times, moved at random.

    Returns tensors: images and masks (N, 1, side, side), and whether there is a nodule, (N,).
    reach: the farthest move in pixels.
    """
    random, found, start = np.random.default_rng(0), [], (images.shape[-1] - side) // 2
    for k in range(times):
        for image, mask in zip(images, masks, strict=True):
            moved = random.integers(-reach, reach + 1, 2) if k else (0, 0)
            window = tuple(slice(start + m, start + m + side) for m in moved)
            found.append((image[window], mask[window]))
    x, y = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*found, strict=True))
    return x, y.float(), y.flatten(1).any(1).float()


def empty_slices_over_the_steps(name, data, steps, every=25):
    """Train a network of width 8 with the paper's rate, Dice by slice; look at empty slices.

    data: images, masks, whether there is a nodule. Returns an array of three rows: steps, the mean
    logit of some empty slices, and their mean Dice loss, in training mode.
    """
    torch.manual_seed(0)
    model = build_model(name, width=8)
    adam = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-8)
    batches, looks = Batches(*data, seed=0), []
    images, masks, has_nodule = (part[:60] for part in data)
    empty = has_nodule == 0
    for step in range(every, steps + 1, every):
        loop.train(model, batches, multitask_loss, adam, every)
        with torch.no_grad():
            output = model(images)
        loss = dice_loss(output.mask[empty], masks[empty])
        looks.append((step, output.logits[empty].mean().item(), loss.item()))
    return np.array(looks).T
