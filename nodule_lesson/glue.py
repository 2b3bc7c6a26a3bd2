"""What the prose takes from the code: numbers, {glue:text} in the text, and tables."""

from IPython.display import Markdown, display


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


def glue_all(texts):
    """Put each text of the dict `texts` into the prose under its name, and show nothing here."""
    for name, text in texts.items():
        glue(name, text)


def signed(value, spec="+.3f"):
    """A number with its sign, and a minus that is as wide as the plus."""
    return format(value, spec).replace("-", "\N{MINUS SIGN}")


def told(difference):
    """A `statistics.Difference` with its interval, as text."""
    mean, low, high = (signed(v) for v in (difference.mean, difference.low, difference.high))
    return f"{mean} ({low} to {high})"


def table(head, rows):
    """Show rows of texts as a Markdown table: first column to the left, others to the right."""
    lines = [head, ["--", *["--:"] * (len(head) - 1)], *rows]
    display(Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines)))
