"""The printed tables of the paper: Zhang et al., arXiv 2410.20154, first version, 2024.

TABLE1 (models trained from scratch), TABLE2 (frozen blocks in fine-tuning) and TABLE3 (ablation)
have for each row, under its name in the book, the six columns MEASURES: precision, sensitivity,
Dice, IoU, and Hausdorff distance and ASSD in mm. "proposed" of TABLE1 is "backbone + STD" of
TABLE3, and "no freezing" of TABLE2 is "backbone + TL + STD" there. ROWS has for each table the
names of its rows in `nodule_lesson.experiments`.
"""

MEASURES = ("precision", "sensitivity", "dice", "iou", "hausdorff_distance", "assd")

TABLE1 = {
    "UNet": (0.832, 0.821, 0.753, 0.688, 4.591, 0.341),
    "ResUNet": (0.821, 0.855, 0.779, 0.708, 3.594, 0.290),
    "ResUNet++": (0.844, 0.845, 0.777, 0.712, 3.784, 0.303),
    "DeepLabv3+": (0.802, 0.831, 0.748, 0.658, 3.318, 0.265),
    "proposed": (0.870, 0.827, 0.801, 0.735, 2.929, 0.211),
}

TABLE2 = {
    "no freezing": (0.828, 0.885, 0.814, 0.744, 3.188, 0.280),
    "freeze S1": (0.804, 0.889, 0.798, 0.728, 3.611, 0.310),
    "freeze S5": (0.817, 0.888, 0.810, 0.741, 3.608, 0.296),
    "freeze S9": (0.879, 0.709, 0.708, 0.627, 4.644, 0.401),
    "freeze C1": (0.824, 0.879, 0.802, 0.734, 3.394, 0.287),
    "freeze FC": (0.815, 0.884, 0.799, 0.728, 3.226, 0.295),
}

TABLE3 = {
    "backbone, no combination": (0.820, 0.848, 0.755, 0.693, 3.509, 0.276),
    "backbone, no STD": (0.823, 0.849, 0.764, 0.704, 4.020, 0.285),
    "backbone + STD, λ₂ = 0": (0.846, 0.847, 0.787, 0.720, 3.927, 0.287),
    "backbone + STD": (0.870, 0.827, 0.801, 0.735, 2.929, 0.211),
    "backbone + TL + STD": (0.828, 0.885, 0.814, 0.744, 3.188, 0.280),
}

TABLES = {1: TABLE1, 2: TABLE2, 3: TABLE3}

ROWS = {
    1: {
        "UNet": "unet",
        "ResUNet": "resunet",
        "ResUNet++": "resunet++",
        "DeepLabv3+": "deeplabv3+",
        "proposed": "proposed",
    },
    2: {
        "no freezing": "transfer",
        "freeze S1": "freeze S1",
        "freeze S5": "freeze S5",
        "freeze S9": "freeze S9",
        "freeze C1": "freeze C1",
        "freeze FC": "freeze FC",
    },
    3: {
        "backbone, no combination": "backbone",
        "backbone, no STD": "backbone+combination",
        "backbone + STD, λ₂ = 0": "std",
        "backbone + STD": "proposed",
        "backbone + TL + STD": "transfer",
    },
}
