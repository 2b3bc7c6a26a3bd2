"""The experiments behind Tables 1 to 3 of the paper, and the rows that its claims need.

    python -m nodule_lesson.experiments --table 3 --profile laptop

`grid` lists all runs, `data` has the slices that they learn from, `runner` carries out one run,
`schedule` spreads them over processes, `results` reads what they wrote:
`read("simulated").table(3)`.
"""

from nodule_lesson.experiments.results import Results, read

__all__ = ["Results", "read"]
