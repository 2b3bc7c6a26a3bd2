"""Numbers in the text on real scans. Each function returns texts by name, except for `ways_table`
and `counts_table`, which return a table.

counts: what results/lidc_counts.json holds.
"""

import numpy as np

from nodule_lesson.chapters.lung_nodules_in_ct import live
from nodule_lesson.data import ct
from nodule_lesson.data.sources import idc, lidc_slices, luna16
from nodule_lesson.glue import signed


def ways_table():
    """Gigabytes and minutes to fetch of each way: a text of several lines."""
    subsets = sum(map(len, luna16.RECORDS.values()))
    sizes = {
        "1 small pictures": lidc_slices.BYTES,
        "2 ten patients": idc.BYTES,
        "3 LUNA16, one subset": luna16.BYTES / subsets,
        "3 LUNA16, all": luna16.BYTES,
    }
    lines = ["way                   to fetch   at 20 Mbit/s   at 200 Mbit/s"]
    for name, size in sizes.items():
        minutes = [size * 8 / (speed * 1e6) / 60 for speed in (20, 200)]
        times = "".join(f"{m:10.0f} min" if m >= 1 else "   below 1 min" for m in minutes)
        lines.append(f"{name:20} {size / 1e9:7.2f} GB{times}")
    return "\n".join(lines)


def live_answers():
    """What the live figure shows in the three tasks, and that the answers to them are true.

    Holds the answers below the figure: calcium is the brightest voxel of its slice, ribs are that
    of the two others, and they turn the order of these two nodules round.
    """
    texts, scaled, hounsfield = {}, {}, {}
    for name in ("calcific", "isolated", "juxtapleural"):
        hu, outline = live.crop(name)
        start = {"nodule": name, "level": -600, "width": 1500}
        window, slices = (live.compute(start | {"display": d}) for d in (live.WINDOW, live.SLICE))
        assert outline.flat[hu.argmax()] == (name == "calcific")
        scaled[name], hounsfield[name] = slices["nodule"], hu[outline].mean()
        texts |= {
            f"live-{name}-white": f"{slices['high']:d}",
            f"live-{name}-scaled": f"{slices['nodule']:.3f}",
            f"live-{name}-window": f"{window['nodule']:.3f}",
            f"live-{name}-hu": signed(hounsfield[name], ".0f"),
        }
        scaled[name, "window"] = window["nodule"]
    one, other = "isolated", "juxtapleural"
    assert scaled[one] > scaled[other] and hounsfield[one] < hounsfield[other]
    assert scaled[one, "window"] < scaled[other, "window"]
    return texts


def turned_nodule(folder, rows):
    """How far off a voxel is that is computed without the direction, and what numpy reads, in mm.

    Holds the sentences on the turned patient: negative indices are counted from the other end.
    folder: simulated scans as LUNA16 has them. rows: of their nodules; the turned patient is
    luna-0002.
    """
    row = next(row for row in rows if row["patient"] == "luna-0002")
    scan = ct.Scan.open(folder / "subset0" / f"{row['seriesuid']}.mhd")
    world = np.array([row[f"coord{axis}"] for axis in "XYZ"])
    naive = (world - scan.origin)[::-1] / scan.spacing
    read = np.where(naive < 0, naive + scan.size, naive)
    assert (naive < 0).any() and (read >= 0).all(), "change the text"
    voxels = {"naive-gap": naive, "read-gap": read}
    return {
        name: f"{np.linalg.norm(scan.to_world(voxel.tolist()) - world):.0f}"
        for name, voxel in voxels.items()
    }


def price_of_the_outline(enclosed, mask):
    """How much larger a mask with its outline is, and what Dice it has at most.

    Holds the paragraph below the figure of the outline.
    enclosed, mask: boolean, with the outline and without.
    """
    return {
        "outline-more": f"{enclosed.sum() / mask.sum() - 1:.0%}",
        "outline-dice": f"{2 * mask.sum() / (mask.sum() + enclosed.sum()):.2f}",
    }


def copyist(ways, slices):
    """The copyist's Dice by kind of split, and how many patients have several nodules.

    Holds the answer on new patients, and the paragraph on the split by lesion.
    ways: for each kind of split the Dice of all seeds. slices: the table of the `PatchSet`.
    """
    nodules = set(zip(slices["patient"], slices["nodule"], strict=True))
    patients, counts = np.unique([patient for patient, _ in nodules], return_counts=True)
    return {
        "copy-slice": f"{np.mean(ways['slice']):.2f}",
        "copy-lesion": f"{np.mean(ways['lesion']):.2f}",
        "copy-patient": f"{np.mean(ways['patient']):.2f}",
        "copy-two": f"{(counts > 1).sum():d}",
        "copy-patients": f"{len(patients):d}",
    }


def counts_table(counts):
    """Nodules by the number of their readers in three sets of scans: a text of several lines."""
    lines = ["nodules outlined by at least       1       2       3       4  readers"]
    for name, key in (
        (f"all {counts['scans']:,} scans", "clusters"),
        ("slices of at most 3 mm", "clusters_of_at_most_3_mm"),
        (f"the {counts['luna16_scans']} of LUNA16", "luna16_clusters"),
    ):
        numbers = " ".join(f"{counts[key][readers]:7,}" for readers in "1234")
        lines.append(f"{name:26} {numbers}")
    lines.append(
        f"\nLUNA16's own list: {counts['annotations_listed']:,} nodules "
        f"in {counts['scans_listed']} scans"
    )
    thin = " ".join(f"{number:,}" for number in counts["scans_of_at_most_mm"].values())
    lines.append(f"scans with slices of at most 2.5 mm and 3 mm: {thin}")
    return "\n".join(lines)


def counted_again(counts):
    """Scans, nodules, patients and types.

    Holds the section that counts the paper's data section again.
    """
    luna, every = counts["luna16_clusters"], counts["clusters"]
    scans, thin = counts["luna16_scans"], counts["scans_of_at_most_mm"]
    types = counts["types"]
    return {
        "count-one": f"{luna['1']:,d}",
        "count-three": f"{luna['3']:,d}",
        "count-listed": f"{counts['annotations_listed']:,d}",
        "count-every": f"{every['1']:,d}",
        "count-thin": f"{thin['2.5']:d}",
        "count-thick": f"{thin['3']:,d}",
        "count-less": f"{thin['2.5'] - scans:d}",
        "count-patients": f"{counts['luna16_patients']:d}",
        "slices-median": f"{counts['slices']['median']:.0f}",
        "type-ggo": f"{types['ggo']:d}",
        "type-calcific": f"{types['calcific']:d}",
        "type-cavitary": f"{types['cavitary']:d}",
    }


def reading(regions, batches):
    """How much sooner a region comes than the whole, and how much longer a batch from a large set.

    Holds the sentences on `Scan.open`, and on a set that is opened, not loaded.
    regions: what results/ct_regions.json holds. batches: what results/patch_batches.json does.
    """
    rows = [row for row in batches["rows"] if row["way"] == "batch"]
    microseconds = {row["slices"]: row["cpu_us"] for row in rows}
    few, *_, many = sorted(microseconds)
    return {
        "region-ratio": f"{regions['ratio']:.0f}",
        "batch-few": f"{few:,d}",
        "batch-many": f"{many:,d}",
        "batch-ratio": f"{microseconds[many] / microseconds[few]:.2f}",
    }
