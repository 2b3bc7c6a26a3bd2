"""Simulated scans: whole small CT volumes of the chest in HU, with nodules and their readers.

`simulate_scan(domain, number, seed)` makes one patient's volume, `simulate_patches` crops of
many, `write_scans` what LUNA16 would have on disk. Values follow measurements on LIDC-IDRI.
Two domains differ as clinics do. For teaching, not for clinical use.
"""

from nodule_lesson.data.phantom.crops import simulate_patches
from nodule_lesson.data.phantom.folder import write_scan, write_scans
from nodule_lesson.data.phantom.nodules import TYPES
from nodule_lesson.data.phantom.simulate import DOMAINS, SimulatedScan, simulate_scan

__all__ = [
    "DOMAINS",
    "TYPES",
    "SimulatedScan",
    "simulate_patches",
    "simulate_scan",
    "write_scan",
    "write_scans",
]
