"""The packages are found, not listed; what the experiments found is installed with them."""

from setuptools import find_namespace_packages, setup

found = find_namespace_packages(include=["nodule_lesson*"], exclude=["*.__pycache__*"])

setup(
    packages=[*found, "nodule_lesson.results"],
    # So that a notebook on Colab reads it.
    package_dir={"nodule_lesson.results": "book/results/experiments"},
)
