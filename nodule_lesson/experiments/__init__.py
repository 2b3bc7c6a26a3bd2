"""The experiments behind Tables 1 to 3 of the paper, and the rows that its claims need.

    python -m nodule_lesson.experiments --table 3 --profile laptop

`grid` is the list of all runs, `data` what they learn from, `run` one of them, `schedule` who
computes which, `results` what came of it: `read("simulated").table(3)`.
"""

from nodule_lesson.experiments.results import Results, read

__all__ = ["Results", "read"]
