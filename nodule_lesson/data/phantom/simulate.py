"""One simulated scan: a chest, its nodules, a scanner, and what the readers drew.

Where the numbers come from: HU, types and the readers' mutual Dice are statistics of LIDC-IDRI and
its contours, all patients. What was set by hand (noise, blur, sizes, how often the field of view
is seen, the readers' disagreement) was tuned with `measure` of `studies/simulated_realism.py`
on patients that `studies/simulated_to_real.py` may train on. Not blind to its test patients: a
network's errors on them showed that padding, end slices and vessels at nodules were missing, and
that outlines were too wide (the -0.15 pixel of `nodules._read`).
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from nodule_lesson.data.phantom.anatomy import make_chest
from nodule_lesson.data.phantom.nodules import TYPES, draw_diameter, draw_nodule
from nodule_lesson.data.phantom.scanner import scan, to_integers

SIDE, HALF_CROP = 208, 64  # pixels: of a volume, and half of the crops that it is made for
INNER = slice(HALF_CROP + 8, SIDE - HALF_CROP - 8)  # rows and columns where crops are centred
DOMAINS = {
    # pixel and slice distance in mm, noise (median HU, spread of its logarithm), blur in mm,
    # noise cut per mm, readers, and patients of the whole set (None: as many as one likes).
    "luna_like": {
        "pixel": (0.55, 0.84),
        "slices": (0.625, 1.0, 1.25, 1.25, 2.0, 2.5),
        "noise": (26.0, 0.6),
        "sharpness": (0.4, 0.8),
        "cut": (0.28, 0.85),
        "readers": 4,
        "disagreement": 1.3,
        "patients": None,
        "prefix": "luna-",
    },
    "clinic_like": {
        "pixel": (0.66, 0.78),
        "slices": (1.0,),
        "noise": (55.0, 0.12),
        "sharpness": (0.25, 0.4),
        "cut": (0.6, 0.9),
        "readers": 1,
        "disagreement": 0.6,
        "patients": 7,
        "prefix": "clinic-",
    },
}
# 814 slices and 56 lesions, each as deep as the empty slices around it together.
CLINIC_SLICES, CLINIC_LESIONS = (116, 116, 116, 118, 116, 116, 116), 8
TRIALS, ROOM = 30, 6.0  # at most, to draw a nodule; mm of lung that every slice has somewhere
_NUMBER = {name: number for number, name in enumerate(DOMAINS)}


@dataclass
class SimulatedScan:
    """hu (slices, rows, columns) int16; readers: bits, uint8; spacing (slice, row, column) mm.

    nodules: dicts of nodule, type, diameter (mm), index (slice, row, column) and readers.
    """

    patient: str
    uid: str
    hu: np.ndarray
    readers: np.ndarray
    spacing: tuple
    flipped: bool
    nodules: list = field(default_factory=list)
    lung: np.ndarray = None  # bool: where a crop without a nodule may be centred

    def masks(self):
        """Consensus, bool: voxels that at least half of a nodule's readers drew."""
        found = np.zeros(self.readers.shape, dtype=bool)
        for nodule in self.nodules:
            where, count = nodule["box"], nodule["readers"]
            found[where] |= 2 * count_bits(self.readers[where]) >= count
        return found


def count_bits(bits):
    """How many readers drew each voxel (numpy 1.26 has no bitwise_count)."""
    return sum((bits >> reader) & 1 for reader in range(4))


def check_domain(domain):
    """Raise ValueError for a name that is not a domain."""
    if domain not in DOMAINS:
        raise ValueError(f"domain must be one of {', '.join(DOMAINS)}, found {domain!r}.")
    return DOMAINS[domain]


def simulate_scan(domain, number, seed=0):
    """The scan of patient `number` (from 1), always the same for the same (domain, number, seed).

    Raises ValueError for an unknown domain, or a patient that it does not have.
    """
    options = check_domain(domain)
    if number < 1 or number > (options["patients"] or np.inf):
        most = options["patients"] or "any number"
        raise ValueError(f"{domain} has patients 1 to {most}, found {number}.")
    random = np.random.default_rng([seed, _NUMBER[domain], number])
    pixel = float(np.round(random.uniform(*options["pixel"]), 6))
    thick = float(random.choice(options["slices"]))
    if options["patients"]:
        count = CLINIC_SLICES[number - 1]
    else:
        count = int(np.clip(60 / thick, 24, 64))
    spacing = (thick, pixel, pixel)
    for _ in range(20):  # until there is lung in every slice
        chest = make_chest(random, (count, SIDE, SIDE), spacing)
        if chest.pleura[:, INNER, INNER].max((1, 2)).min() > ROOM:
            break
    readers = np.zeros(chest.hu.shape, dtype=np.uint8)
    wanted = _clinic_lesions if options["patients"] else _any_lesions
    nodules = _place(random, chest, readers, wanted(random, count, thick), options)
    hu = scan(random, chest.hu, spacing, options)
    outside, value = _field_of_view(random, chest)
    digits = 1 if options["patients"] else 4
    return SimulatedScan(
        patient=f"{options['prefix']}{number:0{digits}}",
        uid=f"1.2.826.0.1.3680043.10.999.{_NUMBER[domain] + 1}.{seed}.{number}",
        hu=to_integers(hu, outside, value),
        readers=readers,
        spacing=spacing,
        flipped=bool(random.random() < 0.15),
        nodules=nodules,
        lung=chest.pleura > -3,
    )


def _field_of_view(random, chest):
    """(where the reconstruction has no data, the value there): some scanners pad a circle."""
    radius = np.hypot(chest.x.mean(), chest.y.mean()) + random.uniform(45, 98)
    outside = np.broadcast_to(chest.x**2 + chest.y**2 > radius**2, chest.hu.shape)
    value = int(random.choice([-1024, -2000, -2048, -3024], p=[0.72, 0.08, 0.14, 0.06]))
    return outside, value


def _any_lesions(random, count, thick):
    """[(type, diameter in mm, slices for it alone, None)]: one to three, about half of `count`."""
    wanted = []
    for _ in range(int(random.integers(1, 4))):
        kind = str(random.choice(list(TYPES), p=list(TYPES.values())))
        wanted.append((kind, draw_diameter(random, kind)))
    while (
        len(wanted) > 1 and sum(2 * diameter + 4 * thick for _, diameter in wanted) > count * thick
    ):
        wanted.pop()
    needs = np.array([2 * diameter + 4 * thick for _, diameter in wanted])
    ends = np.rint(count * np.cumsum(needs) / needs.sum()).astype(int)
    shares = np.diff(ends, prepend=0)
    return [
        (kind, min(diameter, 0.8 * share * thick), int(share), None)
        for (kind, diameter), share in zip(wanted, shares, strict=True)
    ]


def _clinic_lesions(random, count, thick):
    """The same for CLINIC_LESIONS, with the exact number of slices that each is drawn in."""
    kinds = [
        str(random.choice(list(TYPES), p=list(TYPES.values()))) for _ in range(CLINIC_LESIONS)
    ]
    sizes = np.clip([draw_diameter(random, kind) for kind in kinds], 4, 15)
    total, least = count // 2, 4
    exact = least + (total - least * len(sizes)) * sizes / sizes.sum()
    depths = np.floor(exact).astype(int)
    depths[np.argsort(depths - exact)[: total - depths.sum()]] += 1
    return [
        (kind, (depth + 0.8) * thick, 2 * int(depth), int(depth))
        for kind, depth in zip(kinds, depths, strict=True)
    ]


def _place(random, chest, readers, wanted, options):
    """Put nodules into the chest one above the other, so that no slice has two; their list."""
    found, low = [], 0
    for kind, diameter, share, depth in wanted:
        # In the middle, the odd slice before it, as extraction takes the empty neighbours.
        first = low + (depth + 1) // 2 if depth else low + 1
        last = first + depth if depth else low + share
        for attempt in range(TRIALS):
            larger = diameter * (1 + 0.05 * attempt)
            who = list(range(options["readers"]))
            if len(who) == 4 and random.random() < 0.35:
                who.pop(int(random.integers(4)))
            kind, where, bits, add = _draw(
                random, chest, kind, larger, (first, last), who, options["disagreement"]
            )
            slices = bits.any((1, 2)).sum()
            if slices == (depth or slices) > 0:
                break
        else:
            raise RuntimeError(f"No nodule of {diameter} mm after {TRIALS} trials.")
        add()
        readers[where] |= bits
        index = [int(v) for v in np.rint(np.argwhere(bits).mean(0)) + [s.start for s in where]]
        entry = {"nodule": f"nodule-{len(found)}", "type": kind, "readers": len(who)}
        size = _measured(bits, chest.spacing[1])
        found.append(entry | {"index": index, "box": where, "diameter": size})
        low += share
    return found


def _draw(random, chest, kind, diameter, limits, who, disagreement):
    """One nodule in the middle of slices limits[0] to limits[1] - 1: (type, box, bits, add)."""
    first, last = limits
    k = (first + last - 1) / 2
    depth, wall = (part[int(k), INNER, INNER] for part in (chest.pleura, chest.wall))
    radius, good = diameter / 2, np.zeros(depth.shape, dtype=bool)
    if kind == "juxtapleural":
        into = random.uniform(0.1, 0.8) * radius
        good = (np.abs(depth - into) < 0.8) & (wall > -into - 6)
        kind = kind if good.any() else "isolated"
    if not good.any():
        good = depth > min(radius + 1.5, 0.7 * depth.max())
    row, column = divmod(int(random.choice(np.flatnonzero(good))), good.shape[1])
    row, column = row + INNER.start, column + INNER.start
    z = chest.z[0, 0, 0] + k * chest.spacing[0]
    centre = (chest.x[0, 0, column], chest.y[0, row, 0], z)
    where, bits, add = draw_nodule(random, chest, kind, diameter, centre, who, disagreement)
    bits[: max(first - where[0].start, 0)] = 0  # a gap between neighbours
    bits[max(last - where[0].start, 0) :] = 0
    labels, count = ndimage.label(bits, np.ones((3, 3, 3)))
    if count > 1:
        sizes = np.bincount(labels.ravel())[1:]
        bits[labels != 1 + sizes.argmax()] = 0
    return kind, where, bits, add


def _measured(bits, pixel):
    """Largest axial extent in mm of what readers drew on average."""
    areas = [
        max(((bits >> r) & 1).sum((1, 2)).max(), 1) for r in range(4) if ((bits >> r) & 1).any()
    ]
    return round(float(np.mean([2 * np.sqrt(area / np.pi) for area in areas]) * pixel * 1.1), 3)
