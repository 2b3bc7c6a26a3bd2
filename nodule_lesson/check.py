"""Can this Python run the notebooks? `python -m nodule_lesson.check` says what is missing.

In a notebook, where it looks at the Python behind the notebook: `from nodule_lesson.check import
check; check()`.
"""

import sys
from importlib import import_module

# What a notebook imports, and what pip calls it.
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "matplotlib": "matplotlib",
    "scipy": "scipy",
    "safetensors": "safetensors",
    "tqdm": "tqdm",
    "IPython": "ipython",
    "ipywidgets": "ipywidgets",
    "skimage": "scikit-image",
    "SimpleITK": "SimpleITK",
    "PIL": "pillow",
    "requests": "requests",
}


def check():
    """Print what is there and what is missing, in plain words; return whether all is there."""
    problems = [*_missing_packages()]
    problems = problems or [*_layer_that_fails(), *_scans_that_fail()]
    print(*(f"MISSING  {problem}" for problem in problems), sep="\n", end="\n" if problems else "")
    print("Not yet. Mend the lines above, then ask again." if problems else _summary())
    return not problems


def _missing_packages():
    missing = []
    for module, package in NEEDED.items():
        try:
            import_module(module)
        except Exception as error:  # also one that is there and broken
            print(f"{package} cannot be loaded: {error}")
            missing.append(package)
    if missing:
        names = " ".join(missing)
        yield f"{names}. To install: {sys.executable} -m pip install {names}"


def _layer_that_fails():
    from nodule_lesson import std

    try:
        u = import_module("torch").zeros(8, 8)
        assert float(abs(std.soft_threshold_dynamics(u, sigma=2.0) - 0.5).max()) < 0.5
    except Exception as error:
        yield f"the layer does not compute: {error!r}. Install the package again."


def _scans_that_fail():
    from nodule_lesson.data import demo

    try:
        assert len(demo.open_demo().images)
    except Exception as error:
        yield (
            f"the demo scans do not open: {error!r}. They go to {demo.cache_folder()}; if that is "
            "full or cannot be written, name another folder in NODULE_LESSON_CACHE."
        )


def _summary():
    gpu = import_module("torch").cuda.is_available()
    return f"Ready: all chapters run here. GPU: {'yes' if gpu else 'none, and none is needed'}."


if __name__ == "__main__":
    sys.exit(0 if check() else 1)
