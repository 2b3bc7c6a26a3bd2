"""Nodules of the five types of the paper's Figure 1, and what four readers make of them."""

import numpy as np

from nodule_lesson.data.phantom.anatomy import (
    box,
    paint,
    paint_segment,
    positions,
    smooth_field,
    weight,
)
from nodule_lesson.data.phantom.shapes import harmonic_shape, outline_shape

# Share of each type among LIDC-IDRI nodules drawn by at least three readers.
TYPES = {"isolated": 0.52, "juxtapleural": 0.23, "calcific": 0.11, "ggo": 0.10, "cavitary": 0.04}


def draw_diameter(random, kind):
    """Diameter in mm: median 8.4, 5 to 95 % from 5 to 26; LIDC's largest axial one is more."""
    deviate = random.standard_normal()
    diameter = 8.4 * np.exp((0.32 if deviate < 0 else 0.70) * deviate)
    return float(np.clip(diameter, 9 if kind == "cavitary" else 4.5, 40))


def draw_nodule(random, chest, kind, diameter, centre, readers, disagreement):
    """One nodule: (its box, bits of the readers' outlines there, a function that paints it).

    centre: (x, y, z) mm. readers: which of the four saw it, a list of numbers. disagreement: a
    factor of the readers' errors (1: their mutual Dice is near that of LIDC-IDRI).
    """
    radius, middle = diameter / 2, np.asarray(centre)
    if random.random() < 0.5:
        shape = outline_shape(random, radius)
    else:
        shape = harmonic_shape(random, 0.9 * radius, random.uniform(0.1, 0.6))
    where = box(chest, middle - 1.15 * radius, middle + 1.15 * radius, 6.0)
    x, y, z = positions(chest, where)
    x, y, z = x - centre[0], y - centre[1], z - centre[2]
    thick = chest.spacing[0]
    signed = (shape(x, y, z - thick / 4) + shape(x, y, z + thick / 4)) / 2
    size, spacing = signed.shape, chest.spacing
    bumps = smooth_field(random, size, spacing, max(2.5, radius / 2))
    signed = signed + random.uniform(0, 0.12) * radius * bumps
    # What is beyond the pleura is wall, not nodule.
    signed = np.minimum(signed, chest.pleura[where] + (0.5 if kind == "juxtapleural" else 0.0))

    def add():
        _spikes_and_vessels(random, chest, radius, middle)
        _tissue(random, chest.hu[where], signed, kind, radius, bumps, spacing)

    return where, _read(random, signed, spacing, radius, readers, disagreement), add


def _spikes_and_vessels(random, chest, radius, middle):
    """Fine strands that leave a solid nodule, and a vessel that feeds it."""
    share = np.zeros_like(chest.hu)
    strands = int(random.integers(4, 14)) if radius > 5 and random.random() < 0.4 else 0
    strands += int(random.random() < 0.5)
    for _ in range(strands):
        way = random.standard_normal(3)
        way /= np.linalg.norm(way)
        reach = radius * random.uniform(1.2, 2.0) + random.uniform(0, 6)
        end = middle + reach * way
        paint_segment(chest, share, middle + 0.7 * radius * way, end, random.uniform(0.35, 0.75))
    if random.random() < 0.55:  # a nodule sits on a vessel, which no reader draws
        way = random.standard_normal(3)
        way /= np.linalg.norm(way)
        bend = 6 * random.standard_normal(3)
        last = middle - 25 * way
        thick = random.uniform(0.6, min(2.0, 0.5 * radius))
        paint_segment(chest, share, middle, last, thick)
        paint_segment(chest, share, last, last - 20 * way + bend, thick)
        if random.random() < 0.5:
            paint_segment(chest, share, middle, middle + 20 * way - bend, 0.8 * thick)
    share *= 0.8 * weight(chest.pleura, 2.0)
    paint(chest.hu, share, 30.0)


def _tissue(random, hu, signed, kind, radius, bumps, spacing):
    """Paint the nodule over the lung, in place."""
    solid = random.normal(25, 25)
    if random.random() < 0.25:
        solid = random.uniform(-350, 0)  # part-solid
    softness = random.uniform(1.0, 2.2) if radius > 4 else random.uniform(0.9, 1.5)
    share = weight(signed, softness)
    if kind == "ggo":
        glass = np.clip(random.normal(-610, 110), -740, -350) + 45 * bumps
        paint(hu, weight(signed, random.uniform(1.5, 3.5)), np.maximum(glass, hu))
        if random.random() < 0.3:
            paint(hu, weight(signed - random.uniform(0.4, 0.7) * radius, 1.5), solid)
        return
    paint(hu, share, solid + 12 * bumps)
    if kind == "calcific":
        calcium = random.uniform(200, 750)
        depth = random.choice([0.0, 0.35]) * radius
        paint(hu, weight(signed - depth - 0.3, 1.2), calcium)
    elif kind == "cavitary":
        depth = max(1.6, random.uniform(0.25, 0.55) * radius)
        hole = signed - depth + 0.12 * radius * smooth_field(random, hu.shape, spacing, 5)
        paint(hu, weight(hole, 1.2), random.uniform(-960, -860))


def _read(random, signed, spacing, radius, readers, disagreement):
    """Bits of the readers' outlines: each is biased, wavers, and skips the thinnest end slices."""
    bits = np.zeros(signed.shape, dtype=np.uint8)
    pixel = spacing[2]
    for reader in readers:
        bias = disagreement * (0.16 * pixel + 0.035 * radius) * random.normal(0.1, 1.2)
        waver = smooth_field(random, signed.shape, spacing, max(3.0, 0.8 * radius))
        amount = disagreement * (0.14 * pixel + 0.045 * radius)
        drawn = signed + bias - 0.15 * pixel + amount * waver > 0  # inside of the line, as LIDC
        if not drawn.any():
            drawn = signed >= signed.max() - 0.2 * pixel
        areas = drawn.sum((1, 2))
        drawn[areas < max(3, random.uniform(0.02, 0.2) * areas.max())] = False
        if not drawn.any():
            drawn[areas.argmax()] = (signed + bias > 0)[areas.argmax()]
        bits |= drawn.astype(np.uint8) << np.uint8(reader)
    return bits
