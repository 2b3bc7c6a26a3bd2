"""Run at the start of each kernel of the book's build (PYTHONSTARTUP).

The kernel records what its chapter uses (tools/made_from.py), and draws each figure twice
(tools/dark_figures.py).
"""


def start(shell):
    import importlib.util
    import os
    from pathlib import Path

    def load(name):  # not in sys.modules, so hidden from chapters
        path = Path(os.environ["PYTHONSTARTUP"]).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    load("made_from").Recorder(shell, os.environ["NODULE_LESSON_ROOT"])
    dark_figures = load("dark_figures")
    formatters = shell.display_formatter.formatters
    formatters[dark_figures.MIME] = dark_figures.DarkFigures(parent=shell.display_formatter)


start(get_ipython())  # noqa: F821
del start  # so that chapters begin with an empty namespace
