"""Start a chapter: `python tools/new_chapter.py my_topic "My topic"`, which `make chapter` calls.

It copies tools/template, a chapter called my_topic that builds and passes the tests, under the new
name to where the files of a chapter lie, and adds the name to _toc.yml, behind the last chapter.
"""

import keyword
import re
import sys
from pathlib import Path

import chapters

TEMPLATE = Path(__file__).with_name("template")
NAME, TITLE = "my_topic", "My topic"


def new_chapter(name, title="", root=chapters.ROOT):
    """Write the files of a chapter, and return their paths, relative to `root`.

    title: its heading, made from the name where it is empty. ValueError for a name that cannot be
    imported or is taken, and for a title of several lines; then nothing is written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(
            "the name of a chapter is a Python identifier in small letters, such as my_topic; "
            f"found {name!r}."
        )
    title = title or name.replace("_", " ").capitalize()
    if "\n" in title:
        raise ValueError("the title of a chapter is one line, found several.")
    texts = {}
    for source in sorted(TEMPLATE.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        text = source.read_text(encoding="utf-8").replace(f"# {TITLE}\n", f"# {title}\n")
        path = source.relative_to(TEMPLATE).as_posix()
        texts[path.replace(NAME, name)] = text.replace(NAME, name)
    for path in (*texts, f"nodule_lesson/chapters/{name}.py"):
        if Path(root, path).exists():
            raise ValueError(f"{path} exists already; choose another name.")
    contents = Path(root, "_toc.yml").read_text(encoding="utf-8")
    last = rf"^(.*- file: book/){chapters.names(root)[-1]}$"
    texts["_toc.yml"] = re.sub(last, rf"\g<0>\n\g<1>{name}", contents, flags=re.MULTILINE)
    for path, text in texts.items():
        Path(root, path).parent.mkdir(parents=True, exist_ok=True)
        Path(root, path).write_text(text, encoding="utf-8", newline="\n")
    return list(texts)


if __name__ == "__main__":
    try:
        print(*new_chapter(*sys.argv[1:]), sep="\n")
    except ValueError as error:
        sys.exit(f"No chapter was written: {error}")
    print("Overwrite the examples in these; then make notebooks, make test (CONTRIBUTING.md).")
