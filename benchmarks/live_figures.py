"""The live figures in headless Chromium: milliseconds of an update, and until a page is ready.

There are three measures. The field: x of Eq. (5), 128 x 128, ten iterations, as the STD explorer
computes it. The update: the time of the script after one move of a slider: the field with its
outlines and colours, without what follows a frame later. Ready: from the start of the navigation
until the last figure of the page is ready. A slow processor is imitated by Chromium's throttling
to a quarter; the network is blocked.

    python benchmarks/live_figures.py --repeats 60 --out book/results/live_figures.json
"""

import argparse
import base64
import functools
import http.server
import json
import os
import shutil
import statistics
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from nodule_lesson.live.figure import with_imports
from nodule_lesson.provenance import provenance, sha256

ROOT = Path(__file__).resolve().parents[1]
STD, SCENES = (ROOT / "nodule_lesson" / "live" / name for name in ("std.js", "scenes.js"))
SIGMAS, SLOWDOWNS = (1.0, 3.0, 10.0), (1, 4)
SETTING = {"lambda1": 1.0, "lambda2": 1.0, "c": 0.5, "epsilon": 1.0, "iterations": 10}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]

# Milliseconds of `repeats` calls; between them the browser gets time, as between two moves.
TIMES = """
    async function times(call, repeats) {
        const found = [];
        for (let i = -5; i < repeats; i++) {
            await new Promise((resolve) => setTimeout(resolve, 10));
            const start = performance.now();
            call(i);
            if (i >= 0) found.push(performance.now() - start);
        }
        return found;
    }
    function slider(root, name) {
        const label = [...root.querySelectorAll("label")].find((one) => one.textContent === name);
        return document.getElementById(label.htmlFor);
    }
    const moved = (input) => input.dispatchEvent(new Event("input", { bubbles: true }));
"""
FIELD = (
    "async ([source, p, repeats]) => {"
    + TIMES
    + """
    const module = await import(`data:text/javascript;base64,${source}`);
    const u = module.scene("noisy disc", 128);
    return times(() => module.softThresholdDynamics(u, 128, p), repeats);
}"""
)
# The slider moves back and forth by one step.
UPDATE = (
    "(root, [name, repeats]) => {"
    + TIMES
    + """
    const input = slider(root, name);
    return times((i) => {
        if (i % 2) input.stepUp();
        else input.stepDown();
        moved(input);
    }, repeats);
}"""
)
SET = (
    "(root, [name, value]) => {"
    + TIMES
    + """
    slider(root, name).value = value;
    moved(slider(root, name));
}"""
)
# Runs before the page's own scripts; records when its last figure is ready.
WATCH = """new MutationObserver(() => {
    const figures = [...document.querySelectorAll("[data-live-figure]")];
    // Or waits for the reader's click.
    const alive = figures.length && figures.every((figure) =>
        figure.matches(".is-live") || figure.querySelector(".lf-start"));
    if (alive) window.readyAfter ??= performance.now();
}).observe(document, { subtree: true, childList: true, attributes: true });"""


def summary(values):
    return {
        "median_ms": round(statistics.median(values), 2),
        "p95_ms": round(statistics.quantiles(values, n=20)[-1], 2),
    }


def figures_of(tab):
    """(name, root, labels of its sliders) for each figure of a page."""
    for root in tab.locator("[data-live-figure]").all():
        controls = json.loads(root.get_attribute("data-controls"))
        sliders = [control["label"] for control in controls if "step" in control]
        yield root.get_attribute("data-live-figure"), root, sliders


def open_page(browser, address):
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.add_init_script(WATCH)
    tab.goto(address)
    tab.wait_for_function("() => window.readyAfter")
    for button in tab.locator(".lf-start button").all():
        button.click()
    tab.wait_for_selector(".lf-start", state="detached")
    return tab


def measure_field(browser, repeats, say):
    tab = browser.new_page()
    session = tab.context.new_cdp_session(tab)
    scripts = with_imports(SCENES, scripts=with_imports(STD))
    text = "".join(scripts.values()) + "export { scene, softThresholdDynamics };"
    source = base64.b64encode(text.encode()).decode()
    for slowdown in SLOWDOWNS:
        session.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
        for sigma in SIGMAS:
            times = tab.evaluate(FIELD, [source, {**SETTING, "sigma": sigma}, repeats])
            yield say({"what": "field", "sigma": sigma, "slowdown": slowdown, **summary(times)})
    tab.close()


def measure_updates(browser, address, page, repeats, say):
    """Measure each figure of a page: std_explorer at each sigma, the others over all sliders."""
    tab = open_page(browser, address)
    tab.wait_for_load_state("networkidle")
    session = tab.context.new_cdp_session(tab)
    for slowdown in SLOWDOWNS:
        session.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
        for name, root, sliders in figures_of(tab):
            row = {"what": "update", "page": page, "figure": name, "slowdown": slowdown}
            root.scroll_into_view_if_needed()
            if name == "std_explorer":
                for sigma in SIGMAS:
                    root.evaluate(SET, ["σ", sigma])
                    times = root.evaluate(UPDATE, ["λ₁", repeats])
                    yield say({**row, "sigma": sigma, **summary(times)})
            else:
                per_slider = max(5, repeats // len(sliders))
                times = [
                    milliseconds
                    for label in sliders
                    for milliseconds in root.evaluate(UPDATE, [label, per_slider])
                ]
                yield say({**row, **summary(times)})
    tab.close()


def measure_ready(browser, address, page, repeats, say):
    times = []
    for _ in range(max(5, repeats // 6)):
        tab = open_page(browser, address)
        times.append(tab.evaluate("() => window.readyAfter"))
        tab.close()
    return say({"what": "ready", "page": page, "slowdown": 1, **summary(times)})


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def say(row):
    numbers = ("median_ms", "p95_ms")
    name = "  ".join(f"{key} {value}" for key, value in row.items() if key not in numbers)
    print(f"{name}:  {row['median_ms']:.1f} ms, 95 % below {row['p95_ms']:.1f} ms", flush=True)
    return row


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html", help="built book")
    parser.add_argument("--repeats", type=int, default=60, help="timed calls (60)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    if not (options.site / "book" / "index.html").exists():
        parser.error(f"no book in {options.site}; build it: make book")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("Chromium is not installed")
    handler = functools.partial(_QuietHandler, directory=options.site)
    load, rows = os.getloadavg()[0], []
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        version = browser.version
        rows += measure_field(browser, options.repeats, say)
        for path in sorted((options.site / "book").glob("*.html")):
            if '<div class="live-figure"' not in path.read_text(encoding="utf-8"):
                continue
            address = f"http://127.0.0.1:{server.server_port}/book/{path.name}"
            rows.append(measure_ready(browser, address, path.stem, options.repeats, say))
            rows += measure_updates(browser, address, path.stem, options.repeats, say)
        browser.close()
        server.shutdown()
    result = {
        "what": "Milliseconds of the live figures in headless Chromium.",
        "setting": {"height": 128, "width": 128, "repeats": options.repeats, **SETTING},
        "provenance": {
            **provenance(
                f"python benchmarks/live_figures.py --repeats {options.repeats}",
                packages=("playwright",),
            ),
            "chromium": version,
            "std_js_sha256": sha256(STD),
            "load_at_start": round(load, 2),  # other work makes every number larger
        },
        "rows": rows,
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
