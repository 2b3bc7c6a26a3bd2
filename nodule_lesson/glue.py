"""Numbers, texts and tables for the prose of a chapter: it shows them by {glue:text}."""

from IPython.display import Markdown, display


def glue(name, value, spec=""):
    """Make `format(value, spec)` available to the prose as `name`; the cell shows nothing.

    The output follows the protocol of MyST-NB's own `glue`, so that a notebook on Colab does not
    need MyST-NB.
    """
    prefix = "application/papermill.record/"
    display(
        {f"{prefix}text/plain": repr(format(value, spec))},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
        raw=True,
    )


def glue_all(texts):
    """`glue` each text of a dictionary under its name."""
    for name, text in texts.items():
        glue(name, text)


def signed(value, spec="+.3f"):
    """A number with its sign; the minus is as wide as the plus."""
    return format(value, spec).replace("-", "\N{MINUS SIGN}")


def format_difference(difference):
    """A `statistics.Difference` with its interval as text: mean (low to high)."""
    mean, low, high = (signed(v) for v in (difference.mean, difference.low, difference.high))
    return f"{mean} ({low} to {high})"


def table(head, rows):
    """Show rows of texts as a Markdown table, the first column left-aligned, the others right."""
    lines = [head, ["--", *["--:"] * (len(head) - 1)], *rows]
    display(Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines)))
