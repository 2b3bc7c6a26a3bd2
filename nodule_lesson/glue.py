"""Numbers that the prose takes from the code: `glue` in a cell, {glue:text} in the text."""

from IPython.display import display


def glue(name, value, spec=""):
    """Put `format(value, spec)` into the prose under `name`, and show nothing here.

    It speaks the protocol of MyST-NB, so that the pages need this function and no more, and a
    notebook on Colab does not need MyST-NB.
    """
    prefix = "application/papermill.record/"
    display(
        {f"{prefix}text/plain": repr(format(value, spec))},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
        raw=True,
    )
