"""Compare methods on a table: python -m nodule_lesson.evaluation FILE --metric dice."""

import argparse
import sys

from nodule_lesson.evaluation.comparison import compare, read_records


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m nodule_lesson.evaluation",
        description="Means of methods, and paired differences with 95 % intervals.",
        epilog="Columns: method, patient, seed, clinic and lesion where there are several, and "
        "one per measure. See nodule_lesson/evaluation/comparison.py.",
    )
    parser.add_argument("file", metavar="FILE", help="a table, .csv, or .json with records")
    parser.add_argument("--metric", required=True, help="the column to compare, as dice")
    parser.add_argument(
        "--methods", nargs="+", metavar="METHOD", help="which, in this order (default: all)"
    )
    options = parser.parse_args(arguments)
    try:
        show(compare(read_records(options.file), options.metric, options.methods), options.metric)
    except OSError as error:
        parser.exit(2, f"error: {options.file}: {error.strerror or error}\n")
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")


def show(found, metric):
    """Print a `Comparison`."""
    print(
        f"{metric}: {found.trainings} runs of each method, {found.patients} patients, "
        f"{found.lesions} values in each run"
    )
    for method, mean in found.means.items():
        print(f"  {method:24} {mean:.4f}")
    print(f"differences, with 95 % intervals that hold {found.holds}; p by Holm:")
    for pair in found.pairs:
        d = pair.difference
        print(
            f"  {pair.method} - {pair.other}: {d.mean:+.4f} ({d.low:+.4f}, {d.high:+.4f}), "
            f"p {pair.p:.3f}, {pair.verdict}"
        )


if __name__ == "__main__":
    sys.exit(main())
