"""Fixtures: the built site, its server, a browser, node, real data. Skips can become failures."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from firefox import firefox as run_firefox
from serving import served

ROOT = Path(__file__).resolve().parents[1]

# One thread for each of two workers on two cores, also in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# --- a skip is a failure where everything is installed ----------------------------------------

# These skips are always allowed: a GPU cannot be installed, real scans may not be committed, and
# hosted runners forbid bubblewrap to start. That it is not installed is no good reason.
GOOD_REASONS = ("no CUDA", "NODULE_REAL_DATA is not set", "bubblewrap is blocked")


def _fail_if_skipped(report):
    if not report.skipped or not os.environ.get("NODULE_NO_SKIP") or hasattr(report, "wasxfail"):
        return
    # A skip is reported as (file, line, "Skipped: REASON").
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(GOOD_REASONS):
        report.outcome = "failed"
        report.longrepr = f"skipped ({reason}), and NODULE_NO_SKIP makes that a failure"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _fail_if_skipped(report)
    return report


# --- fixtures ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def site():
    """The folder of the built book."""
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.skip("the book is not built: run make book")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The path of a wheel of the package, built from a copy of its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("nodule_lesson", "book/results/experiments"):
        shutil.copytree(ROOT / part, source / part, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "-w", str(folder), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def server(site):
    """The address of the built book on a local server, without a slash at its end."""
    with served(site) as address:
        yield address


def _chromium():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium without access to other machines (playwright's Browser)."""
    path = _chromium()
    if path is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    flags = [
        "--no-sandbox",  # containers run as root
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ]
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def firefox(tmp_path_factory):
    """Headless Firefox (firefox.Firefox)."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        pytest.skip("Firefox is not installed")
    with run_firefox(path, tmp_path_factory.mktemp("firefox")) as running:
        yield running


@pytest.fixture(scope="session")
def node():
    """The path of node."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed")
    return path


@pytest.fixture(scope="session")
def real_data():
    """The folder of real slices that NODULE_REAL_DATA names."""
    folder = os.environ.get("NODULE_REAL_DATA")
    if not folder:
        pytest.skip("NODULE_REAL_DATA is not set")
    if not (Path(folder) / "lidc_pretrain.npz").exists():
        pytest.fail(f"NODULE_REAL_DATA is {folder!r}, and no lidc_pretrain.npz is there")
    return Path(folder)
