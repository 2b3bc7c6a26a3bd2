"""The public address of this repository, taken from where it is known, so that nobody types it.

In a workflow on GitHub it is in the environment, in a clone it is that of git's origin.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = r"[\w.-]+/[\w.-]+?"
ORIGIN = re.compile(
    rf"(?:https://(?:[^@/]+@)?github\.com/|(?:ssh://)?git@github\.com[:/])({NAME})(?:\.git)?/?"
)


def repository_address(root=ROOT):
    """https://github.com/OWNER/NAME, or None where there is no origin on GitHub.

    ValueError where GITHUB_REPOSITORY is set and is not OWNER/NAME.
    """
    name = os.environ.get("GITHUB_REPOSITORY")
    if name and not re.fullmatch(NAME, name):
        raise ValueError(f"GITHUB_REPOSITORY is {name!r}; wanted is OWNER/NAME.")
    if not name:
        origin = ORIGIN.fullmatch(git(root, "remote", "get-url", "origin"))
        name = origin and origin[1]
    return f"https://github.com/{name}" if name else None


def pages_address(repository):
    """The address at which GitHub Pages publishes a repository: https://OWNER.github.io/NAME/."""
    owner, name = repository.split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}/"


def commit(root=ROOT):
    """The commit that is checked out, as 40 hexadecimal digits."""
    return os.environ.get("GITHUB_SHA") or git(root, "rev-parse", "HEAD")


def git(root, *arguments):
    """What git says of the repository in `root`; nothing where there is none, or no git."""
    if not (Path(root, ".git").exists() and shutil.which("git")):
        return ""
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
