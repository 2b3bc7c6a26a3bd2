"""Run at the start of each kernel of the book's build (PYTHONSTARTUP): see tools/made_from.py."""


def start():
    import importlib.util
    import os
    from pathlib import Path

    path = Path(os.environ["PYTHONSTARTUP"]).with_name("made_from.py")
    spec = importlib.util.spec_from_file_location("made_from", path)
    made_from = importlib.util.module_from_spec(spec)  # not in sys.modules, hidden from chapters
    spec.loader.exec_module(made_from)
    made_from.Recorder(get_ipython(), os.environ["NODULE_LESSON_ROOT"])  # noqa: F821


start()
del start  # so that chapters begin with an empty namespace
