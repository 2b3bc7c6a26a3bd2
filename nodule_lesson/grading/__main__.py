"""Mark a class: python -m nodule_lesson.grading run 1 submissions/ --seed N --out marks/."""

import argparse
import sys
from pathlib import Path

from nodule_lesson.grading import marking, questions
from nodule_lesson.jobs import cores


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m nodule_lesson.grading",
        description="Mark the submissions of an assignment (assignments/README.md).",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="run all submissions and mark what they answer",
        description="Run each question of each submission in a process of its own under "
        "bubblewrap. Called again after an interruption, it goes on.",
    )
    written = commands.add_parser(
        "written",
        help="collect the written answers, without names, beside the rubric",
        description="Called again when points.csv is filled in, it puts the names to the points.",
    )
    for command in (run, written):
        command.add_argument("assignment", choices=questions.ASSIGNMENTS)
        command.add_argument("submissions", type=Path, help="a notebook, or folder, a student")
        command.add_argument("--out", type=Path, required=True, help="folder for what is written")
    run.add_argument("--seed", type=int, required=True, help="your own, and private")
    run.add_argument("--workers", type=int, default=cores(), help="submissions at the same time")
    run.add_argument(
        "--trust", action="store_true", help="without bubblewrap, if you trust all submissions"
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            number = marking.run(
                options.assignment, options.submissions, options.seed, options.out,
                options.trust, options.workers,
            )  # fmt: skip
            print(f"{number} submissions were marked now; the marks: {options.out / 'marks.csv'}")
        else:
            number = marking.written(options.assignment, options.submissions, options.out)
            print(f"{number} students; to fill in: {options.out / 'written' / 'points.csv'}")
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
