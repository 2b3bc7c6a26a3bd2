"""Slices per second of CPU time of the simulator on one core, median over scans.

OMP_NUM_THREADS=1 python benchmarks/phantom_speed.py
"""

import argparse
import time

import numpy as np

from nodule_lesson.data.phantom import DOMAINS, simulate_scan


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=7)
    scans = parser.parse_args().scans
    for domain in DOMAINS:
        speeds = []
        for number in range(1, scans + 1):
            start = time.process_time()
            count = len(simulate_scan(domain, number).hu)
            speeds.append(count / (time.process_time() - start))
        print(
            f"{domain}: {np.median(speeds):.1f} slices/s, {min(speeds):.1f} to {max(speeds):.1f}"
        )


if __name__ == "__main__":
    main()
