"""What the exercises call: one module a chapter, each function says Correct or what is off.

A checker prints its verdict and returns True or False; it never raises for a wrong answer, so that
a notebook with an empty exercise still runs to its end.
"""
