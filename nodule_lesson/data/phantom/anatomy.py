"""The chest around a nodule: lungs, vessels, mediastinum, wall and ribs, in HU.

Coordinates are millimetres from the middle of the chest: x to the patient's left (columns), y to
the back (rows), z to the head (slices). Tissues are painted one over the other with soft weights,
which is what a voxel that two tissues share looks like (partial volume). The signed functions are
positive inside and about a distance in millimetres.
"""

from dataclasses import dataclass

import numpy as np

FAT, MUSCLE, BLOOD, AIR = -100.0, 50.0, 45.0, -1000.0


@dataclass
class Chest:
    """One window on one chest. Arrays are (slices, rows, columns); x, y, z broadcast to that."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    spacing: tuple  # mm: (slice, row, column)
    side: float  # -1 the patient's right lung, 1 the left
    hu: np.ndarray = None
    pleura: np.ndarray = None  # mm into the lung from its nearest border, negative outside
    wall: np.ndarray = None  # mm from the inner surface of the ribcage outwards
    vessel: np.ndarray = None  # share of each voxel that is vessel


def weight(signed, blur):
    """Share of a voxel inside a surface: 0 to 1 over `blur` mm, smooth at both ends."""
    t = np.clip(signed / blur + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def paint(hu, share, value):
    """Replace the share of each voxel by another tissue, in place."""
    hu += share * (value - hu)


def smooth_field(random, shape, spacing, length):
    """A field of mean 0 and standard deviation near 1 that varies over `length` mm."""
    extent = [n * step for n, step in zip(shape, spacing, strict=True)]
    small = [max(int(np.ceil(side / length)) + 3, 4) for side in extent]
    field = random.standard_normal(small)
    for axis, (n, step) in enumerate(zip(shape, spacing, strict=True)):
        at = 1 + np.arange(n) * step / length
        low = np.minimum(at.astype(int), small[axis] - 2)
        part = at - low
        part = part * part * (3 - 2 * part)
        part = part.reshape([-1 if k == axis else 1 for k in range(3)])
        field = np.take(field, low, axis) * (1 - part) + np.take(field, low + 1, axis) * part
    return 1.7 * field


def texture(random, shape, spacing):
    """Parenchyma: a field of standard deviation 1 whose amplitude falls as 1/frequency."""
    white = random.standard_normal(shape)
    axes = [np.fft.fftfreq(n, step) for n, step in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(axes[0], axes[1], axes[2][: shape[2] // 2 + 1], indexing="ij")
    z, y, x = z**2, y**2, x**2
    spectrum = np.fft.rfftn(white) / (0.05 + np.sqrt(z + y + x)) ** 1.3
    spectrum[0, 0, 0] = 0
    field = np.fft.irfftn(spectrum, shape, axes=(0, 1, 2))
    return field / field.std()


def make_chest(random, shape, spacing):
    """Everything but the nodules: a Chest with its HU before the scanner."""
    side = random.choice([-1.0, 1.0])
    size = random.uniform(0.85, 1.1) * (0.7 if random.random() < 0.15 else 1.0)  # near the apex
    a, b = 132 * size, 92 * size * random.uniform(0.9, 1.1)
    centre = _window_centre(random, side, a, b)
    z, y, x = (
        (np.arange(n) - (n - 1) / 2) * step + middle
        for n, step, middle in zip(shape, spacing, (0.0, *centre), strict=True)
    )
    chest = Chest(x[None, None, :], y[None, :, None], z[:, None, None], spacing, side)
    x, y, z = chest.x, chest.y, chest.z
    blur = 1.2 * spacing[2]

    # Lung with texture, emphysema and denser parts where blood settles.
    mean = np.clip(random.normal(-862, 25), -910, -800)
    hu = mean + 0.12 * y + random.uniform(10, 22) * texture(random, shape, spacing)
    if random.random() < 0.3:
        holes = smooth_field(random, shape, spacing, random.uniform(4, 9))
        paint(hu, weight(holes - random.uniform(0.9, 1.8), 0.6), random.uniform(-970, -930))
    hazy = smooth_field(random, shape, spacing, 25)
    hu += random.uniform(5, 25) * hazy

    # The ribcage's inner surface: a warped superellipse that narrows towards the head.
    slope = 1 - random.uniform(-0.001, 0.004) * z
    power = random.uniform(2.0, 2.6)
    rho = (np.abs(x / (a * slope)) ** power + np.abs(y / (b * slope)) ** power) ** (1 / power)
    length = np.sqrt(x**2 + y**2)
    rough = smooth_field(random, shape, spacing, 22)
    fine = smooth_field(random, shape, spacing, 9)
    chest.wall = length * (1 - 1 / np.maximum(rho, 0.05))
    chest.wall += 1.3 * rough + random.uniform(0.1, 0.5) * fine
    middle = _mediastinum(random, chest, size, b, rough)
    chest.pleura = np.minimum(-chest.wall, -np.max([part for part, _ in middle], axis=0))

    # Vessels, one fissure, then what surrounds the lung.
    vessel_hu = random.uniform(20, 60) if random.random() < 0.6 else random.uniform(90, 170)
    chest.vessel = _vessels(random, chest, a, b)
    paint(hu, chest.vessel, vessel_hu)
    if random.random() < 0.6:
        normal = random.normal(0, 1, 3) * (0.4, 1, 0.5)
        normal /= np.linalg.norm(normal)
        depth = normal[0] * (x - centre[1]) + normal[1] * (y - centre[0]) + normal[2] * z
        depth = depth + random.normal(0, 25) + 4 * hazy
        thick = random.uniform(0.15, 0.45)
        paint(hu, 0.8 * thick * weight(1.2 - np.abs(depth), 1.5), -300.0)
    blood = vessel_hu + 5
    for part, value in middle:
        paint(hu, weight(part, blur), blood if value is None else value)
    _wall(random, chest, hu, blur, rough, fine)
    for part, value in _airways(random, size, x, y, z):
        paint(hu, weight(part, blur), value)
    chest.hu = hu
    return chest


def _window_centre(random, side, a, b):
    """(y, x) of a window that shows mostly lung, often its border."""
    angle, reach = random.uniform(-np.pi, np.pi), np.sqrt(random.uniform(0, 1))
    x = side * a * (0.58 + 0.36 * reach * np.cos(angle))
    return b * 0.72 * reach * np.sin(angle), x


def _ball(x, y, middle, radii):
    """Signed mm of an ellipse in the axial plane."""
    u, v = (x - middle[0]) / radii[0], (y - middle[1]) / radii[1]
    rho = np.sqrt(u**2 + v**2) + 1e-6
    return (1 - rho) * np.sqrt((x - middle[0]) ** 2 + (y - middle[1]) ** 2 + 1e-6) / rho


def _mediastinum(random, chest, size, b, rough):
    """[(signed mm, HU or None for blood)], painted in order."""
    x, y, z = chest.x, chest.y, chest.z
    z0 = random.uniform(-60, 90)  # where in the chest the window lies: heart below, arch above
    half = (22 + 6 * np.sin(y / 25 + random.uniform(0, 6))) * size
    column = half - np.abs(x - 4) + 2 * rough
    parts = [(column, random.uniform(-90, -20))]
    heart = max(0.0, 1 - abs(z0 + 30) / 80)
    if heart > 0.2:
        radii = (62 * heart * size * (1 - 0.004 * z), 48 * heart * size * (1 - 0.003 * z))
        parts.append((_ball(x, y, (22 * size, -22 * size), radii) + rough, None))
    spine = (0.0, 0.78 * b)
    aorta = (20 * size, spine[1] - 22 * size)
    parts.append((_ball(x, y, aorta, (random.uniform(10, 15),) * 2) + 0 * z, None))
    for _ in range(4):  # great vessels, nodes and hilar structures
        at = (chest.side * random.uniform(8, 42) * size, random.uniform(-30, 25) * size)
        radii = random.uniform(5, 12, 2)
        wander = random.normal(0, 0.4, 2)
        parts.append((_ball(x - wander[0] * z, y - wander[1] * z, at, radii), None))
    if chest.side < 0 and random.random() < 0.35 or chest.side > 0 and random.random() < 0.12:
        dome = random.uniform(60, 85) * size
        top = random.uniform(-25, 45)  # the dome of the diaphragm
        away = (x - chest.side * 72 * size) ** 2 + (y - 5) ** 2 + (z - top + dome) ** 2
        parts.append((dome - np.sqrt(away) + rough, random.uniform(45, 110)))
    bone = _ball(x, y, spine, (20 * size, 16 * size)) + 0.4 * rough
    parts += [(bone, random.uniform(450, 1000)), (bone - 2, random.uniform(130, 260))]
    joint = _ball(x, y, (0, spine[1] + 22 * size), (32 * size, 10 * size)) + 0.6 * rough
    parts += [(joint, random.uniform(300, 600)), (joint - 2.5, random.uniform(80, 200))]
    return [(part + 0 * x + 0 * y + 0 * z, value) for part, value in parts]


def _airways(random, size, x, y, z):
    """Trachea or main bronchi, inside the mediastinum."""
    for _ in range(2):
        at = (random.normal(0, 14) * size, random.uniform(-5, 25) * size)
        drift = random.normal(0, 0.3)
        yield _ball(x - drift * z, y, at, random.uniform(4, 9, 2)) + 0 * z, AIR + 20


def _wall(random, chest, hu, blur, rough, fine):
    """Muscle, fat, oblique ribs, shoulder blade, skin and the air outside, painted over."""
    wall, x, y, z = chest.wall, chest.x, chest.y, chest.z
    muscle = random.uniform(30, 60)
    thick = random.uniform(14, 40)  # to the skin, at the side
    layer = random.uniform(9, 16) + 3 * fine
    tissue = muscle + 12 * fine
    fat = weight(wall - layer - 4 * rough, 2.0)
    fat -= 0.9 * weight(4 - np.abs(wall - layer - 9 - 4 * rough), 2.0)  # a second muscle
    fat += weight(0.8 - np.abs(wall - 2.2), 1.2) * random.uniform(0, 0.8)  # beside the pleura
    fat = np.clip(fat, 0, 1)
    paint(tissue, fat, FAT + random.normal(0, 8))
    edge = wall - thick - 5 * rough
    paint(tissue, weight(edge + 2, blur), 20.0)
    paint(tissue, weight(edge, blur), AIR)
    paint(hu, weight(wall, blur), tissue)
    beneath = -edge - 2.5  # no bone without skin over it
    # Ribs run forwards and down, so that an axial slice cuts each obliquely.
    arc = np.arctan2(y, np.abs(x) + 1e-3) * 110
    pitch, tilt = random.uniform(24, 32), random.uniform(0.25, 0.75)
    turn = (z * 1.0 + tilt * arc + random.uniform(0, pitch) + 2 * rough) / pitch
    across = (turn - np.floor(turn) - 0.5) * pitch
    half, deep = random.uniform(5, 7.5), random.uniform(3.2, 4.8)
    rho = np.sqrt((across / half) ** 2 + ((wall - 2.5 - deep) / deep) ** 2)
    inside = np.minimum((1 - rho) * deep + 0.4 * fine, beneath)
    paint(hu, weight(inside, blur), random.uniform(650, 1300))
    paint(hu, weight(inside - random.uniform(1.1, 1.8), blur), random.uniform(60, 260))
    if random.random() < 0.3:  # a shoulder blade behind
        half, middle = random.uniform(25, 45), random.uniform(50, 85)  # mm along the ribcage
        taper = 0.15 * (half - np.abs(arc - middle - 4 * rough))
        blade = np.minimum(2.5 - np.abs(wall - 20 - 2 * rough), taper)
        paint(hu, weight(np.minimum(blade, beneath), blur), random.uniform(500, 1000))


# --- vessels ------------------------------------------------------------------------------------


def _vessels(random, chest, a, b):
    """Share of vessel in each voxel: trees that branch from the hilum down to 0.4 mm radius."""
    share = np.zeros(np.broadcast_shapes(chest.x.shape, chest.y.shape, chest.z.shape))
    for start, end, radius in _tree(random, chest, a, b):
        paint_segment(chest, share, start, end, radius)
    return share


def _tree(random, chest, a, b):
    """Segments (start xyz, end xyz, radius) that can touch the window."""
    low = np.array([chest.x.min(), chest.y.min(), chest.z.min()])
    high = np.array([chest.x.max(), chest.y.max(), chest.z.max()])
    count = 14
    start = np.column_stack(
        [
            chest.side * random.uniform(25, 50, count),
            random.uniform(-20, 25, count),
            random.uniform(low[2] - 25, high[2] + 25, count),
        ]
    )
    way = random.standard_normal((count, 3)) + [chest.side * 1.2, 0, 0]
    radius = random.uniform(2.2, 4.8, count)
    found = []
    for _ in range(40):
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        length = 3 + radius * random.uniform(2.0, 5.5, len(radius))
        end = start + way * length[:, None]
        keep = (np.abs(end[:, 0] / a) ** 2 + (end[:, 1] / b) ** 2 < 1.05) & (
            end[:, 0] * chest.side > 12
        )
        start, end, way, radius = start[keep], end[keep], way[keep], radius[keep]
        # Vessels taper towards the pleura.
        depth = 1 - np.sqrt((end[:, 0] / a) ** 2 + (end[:, 1] / b) ** 2)
        radius = np.minimum(radius, 0.5 + 0.032 * a * np.maximum(depth, 0))
        near = ((np.maximum(start, end) > low - 5) & (np.minimum(start, end) < high + 5)).all(1)
        found += list(zip(start[near], end[near], radius[near], strict=True))
        # Murray's law, the cube of the radius is kept, with a small and a large child.
        part = random.uniform(0.12, 0.5, len(radius))
        small, large = radius * part ** (1 / 3), radius * (1 - part) ** (1 / 3)
        bend = random.standard_normal((len(radius), 3))
        bend -= (bend * way).sum(1, keepdims=True) * way
        radius = np.concatenate([small, large])
        way = np.concatenate([way + 0.55 * bend, way - 0.25 * bend])
        start = np.concatenate([end, end])
        reach = ((start > low - 30) & (start < high + 30)).all(1) & (radius > 0.42)
        start, way, radius = start[reach], way[reach], radius[reach]
        if not len(radius):
            break
        if len(radius) > 600:
            kept = np.sort(random.permutation(len(radius))[:600])
            start, way, radius = start[kept], way[kept], radius[kept]
    return found


def box(chest, low, high, margin):
    """Slices of the arrays that hold the box from low to high (xyz mm); None if it is outside."""
    found = []
    for axis, line in ((2, chest.z), (1, chest.y), (0, chest.x)):
        step = chest.spacing[2 - axis]
        first = int(np.floor((low[axis] - margin - line.flat[0]) / step))
        last = int(np.ceil((high[axis] + margin - line.flat[0]) / step)) + 1
        first, last = max(first, 0), min(last, line.size)
        if first >= last:
            return None
        found.append(slice(first, last))
    return tuple(found)


def positions(chest, where):
    """x, y, z of a box, ready to broadcast."""
    return chest.x[:, :, where[2]], chest.y[:, where[1]], chest.z[where[0]]


def paint_segment(chest, share, start, end, radius):
    """A piece of vessel: the larger of what is there and the share of the new piece."""
    blur = np.max(chest.spacing[1:]) * 1.1
    where = box(chest, np.minimum(start, end), np.maximum(start, end), radius + blur)
    if where is None:
        return
    x, y, z = positions(chest, where)
    along = end - start
    x, y, z = x - start[0], y - start[1], z - start[2]
    t = np.clip((x * along[0] + y * along[1] + z * along[2]) / (along @ along), 0, 1)
    away = np.sqrt((x - t * along[0]) ** 2 + (y - t * along[1]) ** 2 + (z - t * along[2]) ** 2)
    there = share[where]
    np.maximum(there, np.clip((radius - away) / blur + 0.5, 0, 1) * min(1, radius), out=there)
