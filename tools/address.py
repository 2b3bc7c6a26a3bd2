"""Copy the public address of the repository from _config.yml to the files that repeat it.

`python tools/address.py` renews the copies, `python tools/address.py --check` compares them. Pages
and notebooks get the address when they are built.
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIES = ("CITATION.cff", "README.md", "pyproject.toml")


def repository_address(root=ROOT):
    """`repository: url:` of _config.yml, such as https://github.com/OWNER/NAME."""
    config = (Path(root) / "_config.yml").read_text(encoding="utf-8")
    # Read by a pattern and not as YAML, so that this works before anything is installed.
    match = re.search(r"^repository:\n(?:  .*\n)*?  url: *(\S+)", config, re.MULTILINE)
    if not match:
        raise ValueError("_config.yml has no `url` under `repository`; it wants one.")
    return _checked(match[1])


def pages_address(repository):
    """The address at which GitHub Pages publishes a repository: https://OWNER.github.io/NAME/."""
    owner, name = _checked(repository).split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}/"


def _checked(address):
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(
            f"the repository's address is {address!r}; wanted is https://github.com/OWNER/NAME."
        )
    return address


def copied_address(root=ROOT):
    """The present address in the copies, read from pyproject.toml."""
    text = (Path(root) / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(r'^Repository = "(\S+)"', text, re.MULTILINE)
    if not match:
        raise ValueError("pyproject.toml has no `Repository` under [project.urls]; it wants one.")
    return _checked(match[1])


def renew_copies(root=ROOT):
    """Copy the address of _config.yml. Returns the names of the files that changed."""
    new, old = repository_address(root), copied_address(root)
    changed = []
    for name in COPIES:
        path = Path(root) / name
        before = path.read_text(encoding="utf-8")
        after = before.replace(pages_address(old), pages_address(new)).replace(old, new)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(name)
    return changed


def stale_copies(root=ROOT):
    """The names of the files in COPIES that lack the address of _config.yml."""
    address = repository_address(root)
    return [n for n in COPIES if address not in (Path(root) / n).read_text(encoding="utf-8")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if parser.parse_args().check:
        stale = stale_copies()
        if stale:
            sys.exit(f"not the address of _config.yml: {', '.join(stale)}; run tools/address.py")
    else:
        changed = renew_copies()
        print(f"rewritten: {', '.join(changed)}" if changed else "all copies are up to date")


if __name__ == "__main__":
    main()
