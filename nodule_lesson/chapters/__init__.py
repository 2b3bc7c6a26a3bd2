"""What one chapter alone needs, in a folder of its name: exercises.py and the live figure.

An exercise (exercise.py) prints what is right or off and returns True or False; it never raises
for a wrong answer, so that a notebook with an empty exercise still runs to its end.
"""
