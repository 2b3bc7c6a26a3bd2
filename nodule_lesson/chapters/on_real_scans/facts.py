"""Numbers in the text on real scans. Each function returns texts by name, except for `ways_table`
and `counts_table`, which return a table.

counts: what results/lidc_counts.json holds.
"""

import numpy as np

from nodule_lesson.data import ct
from nodule_lesson.data.sources import fetch, idc, lidc_slices, luna16


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


def size_of_luna16():
    """How much the whole of LUNA16 is. Holds the remark below the table of the ways."""
    return {"luna16-size": fetch.readable(luna16.BYTES)}


def turned_nodule(folder, rows):
    """How far off a voxel is that is computed without the direction, in mm.

    Holds the sentence on the turned patient.
    folder: simulated scans as LUNA16 has them. rows: of their nodules; the turned patient is
    luna-0002.
    """
    row = next(row for row in rows if row["patient"] == "luna-0002")
    scan = ct.Scan.open(folder / "subset0" / f"{row['seriesuid']}.mhd")
    world = np.array([row[f"coord{axis}"] for axis in "XYZ"])
    naive = ((world - scan.origin)[::-1] / scan.spacing).tolist()
    return {"naive-gap": f"{np.linalg.norm(scan.to_world(naive) - world):.0f}"}


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
    """Scans, nodules, patients and types, and how well readers agree.

    Holds the section that counts the paper's data section again.
    """
    luna, every, dice = counts["luna16_clusters"], counts["clusters"], counts["dice"]
    scans, thin = counts["luna16_scans"], counts["scans_of_at_most_mm"]
    without, types = counts["luna16_scans_without_nodule"], counts["types"]
    return {
        "count-one": f"{luna['1']:,d}",
        "count-three": f"{luna['3']:,d}",
        "count-listed": f"{counts['annotations_listed']:,d}",
        "count-every": f"{every['1']:,d}",
        "count-thin": f"{thin['2.5']:d}",
        "count-thick": f"{thin['3']:,d}",
        "count-less": f"{thin['2.5'] - scans:d}",
        "count-without": f"{without:d}",
        "count-with": f"{scans - without:d}",
        "count-in": f"{counts['scans_listed']:d}",
        "count-patients": f"{counts['luna16_patients']:d}",
        "dice-mean": f"{dice['mean']:.3f}",
        "dice-low": f"{dice['quartiles'][0]:.2f}",
        "dice-high": f"{dice['quartiles'][2]:.2f}",
        "slices-median": f"{counts['slices']['median']:.0f}",
        "type-ggo": f"{types['ggo']:d}",
        "type-calcific": f"{types['calcific']:d}",
        "type-cavitary": f"{types['cavitary']:d}",
    }


def reading_volumes(regions):
    """How much sooner a region comes than the whole, and how long the extraction takes.

    Holds the sentences on the extraction below the table of the ways, and on `Scan.open`.
    regions: what results/ct_regions.json holds.
    """
    seconds = np.median(regions["seconds"]["extraction"])  # per scan
    return {
        "region-ratio": f"{regions['ratio']:.0f}",
        "extract-seconds": f"{seconds:.1f}",
        "extract-minutes": f"{seconds * 888 / 60:.0f}",
    }


def reading_batches(batches):
    """How much longer a random batch takes from a larger `PatchSet`, and how large the sets are.

    Holds the paragraph below the figure of the crops.
    batches: what results/patch_batches.json holds.
    """
    rows = [row for row in batches["rows"] if row["way"] == "batch"]
    microseconds = {row["slices"]: row["cpu_us"] for row in rows}
    few, middle, many = sorted(microseconds)
    return {
        "batch-few": f"{few:,d}",
        "batch-middle": f"{middle:,d}",
        "batch-many": f"{many:,d}",
        "batch-ratio": f"{microseconds[many] / microseconds[few]:.2f}",
        "batch-ratio-middle": f"{microseconds[many] / microseconds[middle]:.2f}",
    }
