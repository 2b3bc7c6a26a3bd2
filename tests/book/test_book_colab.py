"""Each twin runs as on Colab: its versions of IPython and ipywidgets, and the package missing.

The environment is fresh but for torch, numpy, matplotlib and what they need: Colab has them, so
here they are links to those of this environment. The first cell of a notebook installs the package
from this working tree instead of its public address.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nightly import few_by_day
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TWINS = {path.stem: path for path in sorted((ROOT / "book").glob("*.ipynb"))}
# The students' notebooks run as they are handed out, with no answer.
SHEETS = {path.parent.name: path for path in sorted(ROOT.glob("assignments/*/student.ipynb"))}
# As on Colab in August 2026, with the ipykernel and notebook that go with IPython 7.34.
OF_COLAB = {
    "ipykernel": "6.17.1",
    "ipython": "7.34.0",
    "ipywidgets": "7.7.1",
    "notebook": "6.5.7",
}
PREINSTALLED = ("torch", "numpy", "matplotlib")
VERSIONS = """
import importlib.metadata, importlib.util, json
names = {one.name.lower() for one in importlib.metadata.distributions()}
found = {name: importlib.metadata.version(name) for name in names}
print(json.dumps([found, importlib.util.find_spec("nodule_lesson") is not None]))
"""


class Colab:
    """A virtual environment with Colab's versions, and notebooks run in it."""

    def __init__(self, folder):
        self.folder, self.content = folder, folder / "content"
        self.content.mkdir()  # where notebooks run: empty, as /content is
        self.run(sys.executable, "-m", "venv", str(folder / "venv"))
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.python = scripts / "python"
        self.link_preinstalled()
        # venv brings setuptools of this Python's year, older than torch asks for; Colab's is not.
        wanted = ["setuptools>=77", *(f"{name}=={version}" for name, version in OF_COLAB.items())]
        self.run(self.python, "-m", "pip", "install", "-q", "--no-compile", *wanted)
        self.run(self.python, "-c", "import ipykernel, ipywidgets, IPython, torch")
        argv = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel = folder / "kernels" / "colab"
        kernel.mkdir(parents=True)
        spec = {"argv": argv, "display_name": "Colab", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        self.source = folder / "repository"
        self.source.mkdir()
        for path in (ROOT / name for name in ("pyproject.toml", "setup.py", "README.md")):
            shutil.copy(path, self.source)
        for path in ROOT.glob("LICENSE*"):
            shutil.copy(path, self.source)
        ignored = shutil.ignore_patterns("__pycache__")
        for part in ("nodule_lesson", "book/results/experiments"):
            shutil.copytree(ROOT / part, self.source / part, ignore=ignored)

    def run(self, *command):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        result = subprocess.run([str(part) for part in command], env=environment,
                                cwd=self.content, capture_output=True, text=True)  # fmt: skip
        if result.returncode:
            raise RuntimeError(f"{Path(command[0]).name} {' '.join(map(str, command[1:]))}: "
                               f"{(result.stderr or result.stdout).strip()[-600:]}")  # fmt: skip
        return result.stdout

    def link_preinstalled(self):
        """Make torch, numpy, matplotlib and their needs importable, and visible to pip."""
        folder = self.folder / "preinstalled"
        folder.mkdir()
        names, seen = list(PREINSTALLED), set()
        while names:
            name = re.sub(r"[-_.]+", "-", names.pop()).lower()
            if name in seen:
                continue
            seen.add(name)
            try:
                distribution = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                continue  # needed on another system
            for top in {file.parts[0] for file in distribution.files}:
                link = folder / top
                if top not in ("..", "__pycache__") and not link.exists():
                    link.symlink_to(Path(distribution.locate_file(top)).resolve())
            for requirement in map(Requirement, distribution.requires or []):
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    names.append(requirement.name)
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = Path(self.run(self.python, "-c", purelib).strip())
        (site / "preinstalled.pth").write_text(f"{folder}\n", encoding="utf-8")

    def state(self):
        """The version of each package that is there, and whether ours can be imported."""
        return json.loads(self.run(self.python, "-c", VERSIONS))

    def execute(self, notebook, source):
        """Run a notebook from its first cell to its last; a failing cell raises."""
        specs = KernelSpecManager(kernel_dirs=[str(self.folder / "kernels")])
        manager = AsyncKernelManager(kernel_name="colab", kernel_spec_manager=specs)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        client = NotebookClient(
            notebook, km=manager, timeout=600, resources={"metadata": {"path": str(self.content)}}
        )
        dropped = ("PYTHONPATH", "MPLBACKEND", "VIRTUAL_ENV")
        environment = {k: v for k, v in os.environ.items() if k not in dropped}
        client.execute(env=environment | {"NODULE_LESSON_SOURCE": source})
        return notebook


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    try:
        colab = Colab(tmp_path_factory.mktemp("colab"))
    except OSError as error:
        pytest.skip(f"no links to installed packages can be made: {error}")
    except RuntimeError as error:
        pytest.skip(f"no environment like Colab's can be made: {error}")
    found, has_package = colab.state()
    assert OF_COLAB.items() <= found.items()
    assert found["torch"] == importlib.metadata.version("torch")
    assert not has_package, "the package must be missing at first"
    return colab


@pytest.fixture(scope="module")
def installed(colab):
    """The environment when the first cell, the same in all notebooks, has run."""
    before, first = colab.state(), [first_cell(path) for path in (TWINS | SHEETS).values()]
    assert not before[1] and len({notebook.cells[0].source for notebook in first}) == 1
    colab.execute(first[0], colab.source.as_uri())
    after = colab.state()
    assert after[1], "the first cell did not install the package"
    replaced = {name: (version, after[0].get(name)) for name, version in before[0].items()
                if after[0].get(name) != version}  # fmt: skip
    assert not replaced, "the installation replaced what Colab brings"
    return colab


def first_cell(path):
    """A notebook's installation, as a notebook."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:1]
    return notebook


def test_a_failing_installation_is_seen(colab):
    assert not colab.state()[1]
    notebook = first_cell(TWINS["sigmoid"])
    with pytest.raises(CellExecutionError, match="nodule_lesson was not installed"):
        colab.execute(notebook, (colab.folder / "nowhere").as_uri())
    said = "".join(output.get("text", "") for output in notebook.cells[0].outputs)
    assert "nowhere" in said and "error" in said.lower(), said


@pytest.mark.parametrize("name", few_by_day(TWINS | SHEETS, ["sigmoid"]))
def test_twin_runs(installed, name):
    path = (TWINS | SHEETS)[name]
    stored = nbformat.read(path, as_version=4)
    ran = installed.execute(nbformat.read(path, as_version=4), installed.source.as_uri())
    for old, new in zip(stored.cells, ran.cells, strict=True):
        if old.cell_type != "code":
            continue
        for output in old.outputs:
            if output.get("data", {}).get("text/plain", "").startswith("<live figure"):
                # A live figure shows its controls in ipywidgets 7 as well.
                mimes = [mime for o in new.outputs for mime in o.get("data", {})]
                assert "application/vnd.jupyter.widget-view+json" in mimes
        warned = [o.text for o in new.outputs if o.get("name") == "stderr"]
        assert not warned or "allow-stderr" in old.metadata.get("tags", []), warned


def test_there_are_twins():
    assert TWINS and SHEETS
