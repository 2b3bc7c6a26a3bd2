"""What students hand in: notebooks, one a student. Their code, their written answers, likeness."""

import io
import itertools
import json
import keyword
import re
import tokenize
from pathlib import Path

LARGEST = 20_000_000  # bytes of a notebook
WRITTEN = re.compile(r"<!--\s*answer\s+(\w+)\s*-->")
WINDOW = 12  # tokens


def find(folder):
    """{name of the student: path of the notebook}.

    A notebook lies in the folder itself, and its name is the student's; or alone in a folder of
    the student's, as learning platforms hand them over. Raises ValueError for anything else.
    """
    folder, found = Path(folder), {}
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; wanted is one with a notebook for each student.")
    for path in sorted(folder.iterdir()):
        name = path.stem if path.is_file() else path.name
        if path.name.startswith("."):
            continue
        notebooks = [path] if path.is_file() else sorted(path.rglob("*.ipynb"))
        notebooks = [one for one in notebooks if ".ipynb_checkpoints" not in one.parts]
        if len(notebooks) != 1 or notebooks[0].suffix != ".ipynb":
            raise ValueError(f"{path} holds {len(notebooks)} notebooks; wanted is one a student.")
        if name[0] in "=+-@":  # a spreadsheet would run it as a formula
            raise ValueError(f"the name of {path} begins with {name[0]!r}; rename it.")
        if name in found:
            raise ValueError(f"two notebooks in {folder} belong to {name!r}; wanted is one.")
        found[name] = notebooks[0]
    if not found:
        raise ValueError(f"{folder} is empty; wanted is a notebook for each student.")
    return found


def cells(path):
    """The cells of a notebook: (type, text, whole cell); None if the file is no notebook.

    A link is none: it could lead to the notebook of somebody else.
    """
    if path.is_symlink() or path.stat().st_size > LARGEST:
        return None
    try:
        found = json.loads(path.read_bytes())["cells"]
        return [(str(one["cell_type"]), "".join(one["source"]), one) for one in found]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def code(path):
    """The code cells that are run, in their order: all but the sheet's own checks."""
    return [text for kind, text, cell in cells(path) or ()
            if kind == "code" and "check" not in _tags(cell)]  # fmt: skip


def _tags(cell):
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tags if isinstance(tags, list) else []


def written(path):
    """{name of a written question: the cell with its answer}; a cell is known by its mark."""
    answers = {}
    for kind, text, cell in cells(path) or ():
        mark = WRITTEN.search(text)
        if kind == "markdown" and mark:
            attachments = cell.get("attachments")
            answers[mark[1]] = {
                "text": WRITTEN.sub("", text).strip(),
                "attachments": attachments if isinstance(attachments, dict) else {},
            }
    return answers


# --- likeness ------------------------------------------------------------------------------------


def words(source):
    """The tokens of some Python code, with one name for all names: renaming changes nothing.

    Comments and the layout are left out, also the rest of a text that is no Python.
    """
    tokens, skipped = [], (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (*skipped, tokenize.DEDENT, tokenize.ENDMARKER):
                continue
            named = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
            tokens.append("name" if named else token.string)
    except (tokenize.TokenError, SyntaxError):
        pass  # what came before it counts
    return tokens


def windows(source, width=WINDOW, reader=words):
    """The set of all runs of `width` tokens of some code."""
    tokens = reader(source)
    return {tuple(tokens[i : i + width]) for i in range(len(tokens) - width + 1)}


def likeness(sources):
    """(share, name, name) for each two students, the most alike first.

    sources: {name: list of code cells}. share: how much of the shorter one's code, in runs of
    tokens, is also in the other's. What more than half of the class has was handed out, or is
    what everybody writes, and is left out.
    """
    own = {name: set().union(*map(windows, texts)) for name, texts in sources.items()}
    count = {}
    for runs in own.values():
        for run in runs:
            count[run] = count.get(run, 0) + 1
    common = {run for run, n in count.items() if n > max(2, len(own) / 2)}
    own = {name: runs - common for name, runs in own.items()}
    pairs = [(len(own[a] & own[b]) / max(1, min(len(own[a]), len(own[b]))), a, b)
             for a, b in itertools.combinations(sorted(own), 2)]  # fmt: skip
    return sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))
