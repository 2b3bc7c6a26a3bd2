"""The files that describe the repository agree with each other, and `make` does what it says."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import address
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
CI = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
PUBLISH = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8"))

PUBLISH_NOTEBOOKS = next(
    step for step in PUBLISH["jobs"]["build"]["steps"] if "branch" in step.get("name", "")
)


def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in exact.items()}


def requirements():
    for text in PROJECT["dependencies"] + sum(EXTRAS.values(), []):
        yield Requirement(text)


def committed_files():
    """Tracked files and those that would be: what git does not ignore."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


# --- versions -----------------------------------------------------------------------------------


def test_every_range_admits_the_version_that_ci_installs():
    for requirement in requirements():
        if canonicalize_name(requirement.name) == PROJECT["name"]:
            continue
        version = pins()[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{requirement} does not admit {version}"


def test_exact_versions_stand_in_constraints_alone():
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins().values())
    for requirement in requirements():
        assert not any(s.operator in ("==", "===") for s in requirement.specifier), requirement
    for name in ("environment.yml", "README.md", "Makefile", ".ci/run"):
        assert not re.search(r"[\w\]]==\d", (ROOT / name).read_text(encoding="utf-8")), name


def test_ranges_admit_what_colab_ships():
    # An install that replaced one of these would break a Colab runtime (CONTRIBUTING.md).
    colab = {"torch": "2.11", "numpy": "2.1.3", "matplotlib": "3.10.0", "ipython": "7.34"}
    colab |= {"ipywidgets": "7.7.1", "scipy": "1.16.3", "tqdm": "4.67.1", "pillow": "11.3.0"}
    colab |= {"filelock": "3.20.0", "requests": "2.32.4", "urllib3": "2.5.0"}
    colab |= {"safetensors": "0.4.3"}  # the least that its transformers admit
    colab |= {"scikit-image": "0.25.2"}
    extras = EXTRAS["notebook"] + EXTRAS["data"]
    asked = [Requirement(text) for text in PROJECT["dependencies"] + extras]
    absent = {"SimpleITK", PROJECT["name"]}  # what Colab lacks cannot be replaced
    asked = [requirement for requirement in asked if requirement.name not in absent]
    assert {r.name for r in asked} == set(colab)
    for requirement in asked:
        assert colab[requirement.name] in requirement.specifier, requirement


def test_python_versions_agree():
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert f"python>={lowest}" in yaml.safe_load(read("environment.yml"))["dependencies"]
    assert f"sys.version_info >= ({lowest.replace('.', ', ')})" in read("Makefile")
    assert f"Python {lowest} or newer" in read("README.md")
    tested = CI["jobs"]["test"]["strategy"]["matrix"]["python"]
    published = PUBLISH["jobs"]["build"]["steps"][1]["with"]["python-version"]
    assert lowest in tested and published in tested
    assert all(version in SpecifierSet(PROJECT["requires-python"]) for version in tested)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_extras_are_the_same_everywhere():
    installed = "-e .[book,test,data]"
    conda = yaml.safe_load(read("environment.yml"))["dependencies"]
    assert conda[-1] == {"pip": [installed]}
    assert installed.replace(".[", "'.[") + "'" in read("Makefile")
    assert ".[book,test,data]" in read("README.md")
    assert set(EXTRAS) >= {"notebook", "book", "test", "data", "dev"}
    assert EXTRAS["dev"] == ["nodule-lesson[book,test,data]"]


def test_ci_runs_the_command_of_the_readme():
    steps = [step.get("run") for step in CI["jobs"]["test"]["steps"]]
    assert ".ci/run" in steps
    assert read(".ci/run").rstrip().endswith("\nmake test")
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make book" in [step.get("run") for step in PUBLISH["jobs"]["build"]["steps"]]
    commands = re.findall(r"^make (book|test)$", read("README.md"), re.MULTILINE)
    assert commands[:2] == ["book", "test"]


# --- the public address -----------------------------------------------------------------------


@pytest.fixture
def at_home(monkeypatch):
    for name in ("GITHUB_REPOSITORY", "GITHUB_SHA"):
        monkeypatch.delenv(name, raising=False)


def run(*command, cwd, **environment):
    environment = {**os.environ, **environment}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    "origin, address_of_it",
    [
        ("https://github.com/Ada/a-fork", "https://github.com/Ada/a-fork"),
        ("https://github.com/Ada/a-fork.git", "https://github.com/Ada/a-fork"),
        ("https://token@github.com/Ada/a-fork/", "https://github.com/Ada/a-fork"),
        ("git@github.com:Ada/a.fork.git", "https://github.com/Ada/a.fork"),
        ("ssh://git@github.com/Ada/a-fork.git", "https://github.com/Ada/a-fork"),
        ("https://gitlab.com/Ada/a-fork.git", None),
        ("/home/ada/lesson", None),
        (None, None),
    ],
)
def test_a_clone_knows_its_address_from_its_origin(tmp_path, at_home, origin, address_of_it):
    run("git", "init", "-q", cwd=tmp_path)
    if origin:
        run("git", "remote", "add", "origin", origin, cwd=tmp_path)
    assert address.repository_address(tmp_path) == address_of_it


def test_a_workflow_knows_the_address_from_github(tmp_path, monkeypatch, at_home):
    assert address.repository_address(tmp_path) is None  # no git, no workflow
    monkeypatch.setenv("GITHUB_REPOSITORY", "Ada/a-fork")
    assert address.repository_address(tmp_path) == "https://github.com/Ada/a-fork"
    assert (
        address.pages_address("https://github.com/Ada/a-fork") == "https://ada.github.io/a-fork/"
    )
    monkeypatch.setenv("GITHUB_REPOSITORY", "a-fork")
    with pytest.raises(ValueError, match="wanted is OWNER/NAME"):
        address.repository_address(tmp_path)


def test_no_file_holds_an_address_of_this_repository():
    """Neither a guess at its name nor the one that this checkout has."""
    known = address.repository_address(ROOT)
    wanted = rf"github\.(?:com/[\w.-]+|io)/{PROJECT['name']}\b"
    wanted += f"|{re.escape(known)}|{re.escape(address.pages_address(known))}" if known else ""
    for path in committed_files():
        assert not re.search(wanted.encode(), path.read_bytes()), path.relative_to(ROOT)


@pytest.mark.parametrize("owner", ["Ada", "Bob"])
def test_publishing_writes_the_notebooks_to_a_branch_of_their_own(tmp_path, site, owner):
    """The step of the workflow, in a clone of a repository that stands in for GitHub's."""
    hub, clone = tmp_path / owner, tmp_path / "clone"
    run("git", "init", "-q", "--bare", "-b", "main", str(hub), cwd=tmp_path)
    run("git", "clone", "-q", str(hub), str(clone), cwd=tmp_path)
    who = PUBLISH_NOTEBOOKS["env"].keys()
    environment = {name: f"{owner}@example.org" for name in who}
    (clone / "file").write_text("The lesson.", encoding="utf-8")
    shutil.copytree(ROOT / "tools", clone / "tools")
    (clone / ".gitignore").write_text("*.ipynb\n_build\n.venv\n", encoding="utf-8")
    run("git", "add", ".", cwd=clone)
    run("git", "commit", "-qm", "First", cwd=clone, **environment)
    run("git", "push", "-q", "origin", "HEAD:main", cwd=clone)
    commit = run("git", "rev-parse", "HEAD", cwd=clone)
    shutil.copytree(site.parent / "notebooks" / "book", clone / "_build" / "notebooks" / "book")
    (clone / ".venv" / "bin").mkdir(parents=True)
    python = clone / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    environment |= {"GITHUB_REPOSITORY": f"{owner}/lesson", "GITHUB_SHA": commit}
    for _ in range(2):  # a second push replaces the first
        run("bash", "-ec", PUBLISH_NOTEBOOKS["run"], cwd=clone, **environment)

    assert run("git", "log", "--format=%s", "notebooks", cwd=hub) == f"Notebooks of {commit}"
    assert run("git", "status", "--short", cwd=clone) == ""
    published = run("git", "ls-tree", "-r", "--name-only", "notebooks", cwd=hub).split()
    assert published == sorted(f"book/{path.name}" for path in (ROOT / "book").glob("*.ipynb"))
    notebook = json.loads(run("git", "show", "notebooks:book/sigmoid.ipynb", cwd=hub))
    install = "".join(notebook["cells"][1]["source"])
    assert f'"NODULE_LESSON_SOURCE", "git+https://github.com/{owner}/lesson@{commit}")' in install
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    pages = f"https://{owner.lower()}.github.io/lesson/book/"
    assert f"[Read this chapter in the book]({pages}sigmoid.html)" in text
    assert f"({pages}soft_threshold_dynamics.html" in text
    assert not re.search(r"\]\(\w+\.(ipynb|md)", text)


# --- the package --------------------------------------------------------------------------------


def test_importing_the_package_imports_only_what_it_needs():
    def loaded(module):
        program = (
            f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        return set(ran.stdout.decode().split())

    slow = {
        "torch",
        "numpy",
        "scipy",
        "matplotlib",
        "SimpleITK",
        "IPython",
        "ipywidgets",
        "skimage",
    }
    assert not loaded("nodule_lesson") & slow
    assert loaded("nodule_lesson.std") & slow <= loaded("torch")


def test_a_wheel_holds_all_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    here = {p.relative_to(ROOT) for p in (ROOT / "nodule_lesson").rglob("*") if p.is_file()}
    here = {p.as_posix() for p in here if "__pycache__" not in p.parts}
    assert here <= names, f"not in the wheel: {sorted(here - names)}"
    assert any(name.endswith(".js") for name in here)
    # What the experiments found travels with it: chapters on Colab read their numbers there.
    found = ROOT / "book" / "results" / "experiments"
    found = {p.relative_to(found).as_posix() for p in found.rglob("*.json")}
    assert {f"nodule_lesson/results/{name}" for name in found} <= names
    for licence in ("LICENSE", "LICENSE-TEXT"):
        assert any(name.endswith(f"licenses/{licence}") for name in names)


# --- the rest of the house ----------------------------------------------------------------------


def test_make_explains_every_target():
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # Under `make test` this make would be a make within a make, and would say so.
    ours = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    env = {key: value for key, value in os.environ.items() if key not in ours}
    run = subprocess.run(["make"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)[1].split()
    assert {"book", "serve", "test", "notebooks", "check", "results", "clean"} <= set(phony)
    lines = [line.split(maxsplit=1) for line in run.stdout.splitlines()[1:]]
    assert [name for name, _ in lines] == phony
    assert all(len(text) > 15 for _, text in lines)


def test_licences_are_there():
    assert "Redistribution and use in source and binary forms" in read("LICENSE")
    assert "creativecommons.org/licenses/by/4.0" in read("LICENSE-TEXT")
    assert "Apache License" in read("vendor/mathjax/LICENSE")
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["license"] == PROJECT["license"] == "BSD-3-Clause"
    assert citation["version"] == PROJECT["version"]
    for name in ("README.md", "LICENSE-TEXT", "CITATION.cff"):
        assert re.search(r"not\s+for\s+clinical\s+use", read(name)), name


def test_no_file_names_a_place_on_one_machine():
    # The folders of home directories, and those where this repository was written.
    places = re.compile(rb"(?<![\w.-])/(home|Users|root|work|mnt|tmp)/[\w.-]")
    for path in committed_files():
        if "vendor" in path.relative_to(ROOT).parts or path == Path(__file__):
            continue
        found = places.search(path.read_bytes())
        assert not found, f"{path.relative_to(ROOT)} names {found[0].decode()}"


def test_files_are_small_enough_for_every_clone():
    for path in committed_files():
        assert path.stat().st_size < 3_000_000, f"{path.relative_to(ROOT)} is too large"


def test_the_readme_names_every_folder():
    folders = {p.relative_to(ROOT).parts[0] for p in committed_files() if p.parent != ROOT}
    for folder in folders - {".ci", ".github"}:
        assert f"`{folder}/" in read("README.md"), f"the README does not say what {folder}/ is"


def without_encoding(call):
    """Whether a call reads or writes text as the system likes: on Windows, not as UTF-8."""
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if isinstance(call.func, ast.Attribute):
        if call.func.attr == "open":  # of a path: its first argument is the mode
            mode = call.args[0].value if call.args and hasattr(call.args[0], "value") else None
            return isinstance(mode, str) and re.fullmatch(r"[rwax]\+?t?", mode) is not None
        most = {"read_text": 0, "write_text": 1}.get(call.func.attr)
        return most is not None and len(call.args) <= most
    if not isinstance(call.func, ast.Name) or call.func.id != "open":
        return False
    return "b" not in (ast.unparse(call.args[1]) if len(call.args) > 1 else "")


def test_code_reads_and_writes_text_as_utf_8():
    calls = [
        ast.parse(text).body[0].value for text in ("p.read_text()", "open(p, 'w')", "p.open('a')")
    ]
    assert all(without_encoding(call) for call in calls)
    assert not without_encoding(ast.parse("open(p, 'rb')").body[0].value)
    for part in ("nodule_lesson", "tools", "benchmarks", "studies", "data_scripts", "tests"):
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    assert not without_encoding(node), f"{path.name}:{node.lineno}"
