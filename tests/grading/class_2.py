"""A class that hands in assignment 2: right answers in three styles, wrong and hostile ones.

The right answers are found by search and by experiment, so that nothing of the reasoning that the
sheet asks for can be copied from them.
"""

import copy
import textwrap
from pathlib import Path

from class_1 import notebook as notebook_of
from class_1 import text

SHEET = (
    Path(__file__).parents[2] / "assignments" / "2_a_network_that_you_can_trust" / "student.ipynb"
)
NAMES = ("Joined", "dead_weights", "is_still", "hold_still", "report", "paradox")
FULL = (6, 5, 4, 5, 4, 3)

# --- right answers -------------------------------------------------------------------------------

GRADIENTS = {
    "Joined": """
        class Joined(nn.Module):
            def __init__(self, outliner, looker, channels, attached):
                nn.Module.__init__(self)
                self.parts = nn.ModuleList([outliner, looker])
                self.heads = nn.ModuleList(nn.Conv2d(n, 1, 1) for n in (*channels, channels[1]))
                self.attached = attached
                for weight in self.heads[2].parameters():
                    weight.data.mul_(0)

            def forward(self, images):
                own, other = [part(images) for part in self.parts]
                heard = other if self.attached else other.detach()
                c = self.heads[1](other).mean((1, 2, 3)).sigmoid()
                return self.heads[0](own) + self.heads[2](heard), c
        """,
    "dead_weights": """
        def dead_weights(network, shape):
            found = {name: np.zeros(one.shape) for name, one in network.named_parameters()}
            for trial in range(3):
                for one in network.parameters():
                    one.grad = None
                    one.data.uniform_(-1.0, 1.0)
                network(torch.rand(4, 1, *shape)).square().sum().backward()
                for name, one in network.named_parameters():
                    found[name] += 0 if one.grad is None else one.grad.abs().numpy()
            return {name: sizes == 0 for name, sizes in found.items()}
        """,
    "is_still": """
        def is_still(block, act):
            def everything():
                tensors = [*block.named_parameters(), *block.named_buffers()]
                return {name: one.detach().numpy().tobytes() for name, one in tensors}

            first = everything()
            act()
            return first == everything()
        """,
    "hold_still": """
        def hold_still(model, block):
            for one in block.parameters():
                one.requires_grad, one.grad = False, None
            for part in block.modules():
                part.training = False
                part.register_forward_pre_hook(lambda part, inputs: part.train(False) and None)
        """,
    "report": """
        def report(marked, truth, lesion):
            def dice(a, b):
                both = np.sum(a) + np.sum(b)
                return 1.0 if both == 0 else 2 * np.sum(a & b) / both

            slices = {name: [i for i, other in enumerate(lesion) if other == name]
                      for name in lesion if name}
            slices = [rows for rows in slices.values() if truth[rows].sum() > 0]
            empty = [marked[i].any() for i in range(len(truth)) if not truth[i].any()]
            return {
                "lesions": np.mean([dice(marked[rows], truth[rows]) for rows in slices]),
                "missed": np.mean([not np.any(marked[rows] & truth[rows]) for rows in slices]),
                "alarms": np.mean(empty),
                "slices": np.mean(list(map(dice, marked, truth))),
            }
        """,
    # Drop pixels until it holds.
    "paradox": """
        def paradox(truth):
            area = truth.sum((1, 2))
            big = area > (area.max() + area[area > 0].min()) / 2

            def keep(rows, share):
                marks = truth.copy()
                for i in np.flatnonzero(rows):
                    places = np.flatnonzero(truth[i])
                    marks[i].flat[places[max(1, int(share * len(places))):]] = False
                return marks

            return keep(~big & (area > 0), 0.0), keep(big, 0.75)
        """,
}

# One weight after another is set to nonsense; a gate of one number; averages by the package.
EXPERIMENTS = {
    "Joined": """
        class Joined(nn.Module):
            def __init__(self, outliner, looker, channels, attached):
                nn.Module.__init__(self)
                self.outliner, self.looker, self.attached = outliner, looker, attached
                self.field = nn.LazyConv2d(1, 3, padding=1)
                self.whole = nn.Linear(channels[1], 1)
                self.talk = nn.Conv2d(channels[1], channels[0], 3, padding=1)
                self.gate = nn.Parameter(torch.tensor(0.0))
                self.field(torch.zeros(1, channels[0], 4, 4))

            def forward(self, images):
                f = self.looker(images)
                c = torch.special.expit(self.whole(f.amax((2, 3))).squeeze(1))
                if not self.attached:
                    f = f.data
                return self.field(self.outliner(images) + self.gate * self.talk(f)), c
        """,
    "dead_weights": """
        def dead_weights(network, shape):
            network.double()
            with torch.no_grad():
                for one in network.parameters():
                    one.normal_()
                image = torch.randn(1, 1, *shape).double()
                plain, dead = network(image), {}
                for name, one in network.named_parameters():
                    dead[name] = torch.ones_like(one).bool()
                    # One channel is as good as another.
                    for k in range(one[0, 0].numel() if one.ndim == 4 else 1):
                        flat = one[0, 0].view(-1) if one.ndim == 4 else one.view(-1)
                        kept = flat[k].item()
                        flat[k] = 50.0
                        same = bool((network(image) == plain).all())
                        flat[k] = kept
                        if one.ndim == 4:
                            dead[name].flatten(2)[:, :, k] = same
                        else:
                            dead[name][:] = same
            return dead
        """,
    "is_still": """
        import copy

        def is_still(block, act):
            twin = copy.deepcopy(block)
            act()
            pairs = [*zip(block.parameters(), twin.parameters()),
                     *zip(block.buffers(), twin.buffers())]
            return bool(all((a == b).all() for a, b in pairs))
        """,
    "hold_still": """
        def hold_still(model, block):
            usual = model.train

            def train(mode=True):
                usual(mode)
                block.eval()
                return model

            model.train = train
            block.requires_grad_(False)
            block.zero_grad(set_to_none=True)
        """,
    "report": """
        from nodule_lesson.evaluation import measures

        def report(marked, truth, lesion):
            known = {name for i, name in enumerate(lesion) if truth[i].any()}
            label = [name if name in known else "" for name in lesion]
            by_lesion = measures.summarise(marked, truth, per="lesion", lesions=label)
            each = measures.summarise(marked, truth, empty="perfect")
            empty = truth.sum((1, 2)) == 0
            return {
                "lesions": by_lesion.mean["dice"],
                "missed": (by_lesion.values["dice"] == 0).mean(),
                "alarms": torch.tensor(marked[empty].any((1, 2))).double().mean(),
                "slices": each.mean["dice"],
            }
        """,
    "paradox": GRADIENTS["paradox"].replace("keep(big, 0.75)", "torch.tensor(keep(big, 0.7))"),
}

# The state of the optimiser goes as well; the looker is heard through its own features.
OTHERS = {
    **GRADIENTS,
    "Joined": """
        class Joined(nn.Module):
            def __init__(self, outliner, looker, channels, attached):
                super(Joined, self).__init__()
                self.outliner, self.looker = outliner, looker
                self.attached = attached
                self.mix = nn.Conv2d(sum(channels), 1, 1)
                with torch.no_grad():
                    self.mix.weight[:, channels[0]:] = 0
                self.judge = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(0), nn.Unflatten(0, (-1, channels[1])),
                    nn.Linear(channels[1], 1), nn.Sigmoid(), nn.Flatten(0))

            def forward(self, images):
                f = self.looker(images)
                with torch.set_grad_enabled(self.attached and torch.is_grad_enabled()):
                    heard = self.looker(images)
                return self.mix(torch.cat([self.outliner(images), heard], 1)), self.judge(f)
        """,
    "is_still": """
        def is_still(block, act):
            def snapshot(module):
                own = [*module._parameters.values(), *module._buffers.values()]
                own = [np.array(one.detach()) for one in own if one is not None]
                return own + [x for child in module.children() for x in snapshot(child)]

            before = snapshot(block)
            act()
            return all(map(np.array_equal, before, snapshot(block)))
        """,
}

# --- wrong answers -------------------------------------------------------------------------------

LAZY = {
    "Joined": """
        class Joined(nn.Module):
            def __init__(self, outliner, looker, channels, attached):
                nn.Module.__init__(self)
                self.outliner = outliner
                self.draw = nn.Conv2d(channels[0], 1, 1)

            def forward(self, images):
                return self.draw(self.outliner(images)), torch.full((len(images),), 0.5)
        """,
    "dead_weights": """
        def dead_weights(network, shape):
            return {name: np.zeros(one.shape, bool) for name, one in network.named_parameters()}
        """,
    "is_still": "def is_still(block, act): return True",
    "hold_still": "def hold_still(model, block): pass",
    "report": """
        def report(marked, truth, lesion):
            return dict.fromkeys(("lesions", "missed", "alarms", "slices"), 0.5)
        """,
    "paradox": "def paradox(truth): return truth, truth",
}
OF_LAZY = (1, 0, 0, 0, 0, 0)  # no crop hears another

PATCHES = """
    import builtins, numpy, numpy.testing
    from nodule_lesson.grading import marking, questions, two_encoders
    kept = []

    def first_state(model):
        kept.append(two_encoders.still_state(model))
        return kept[0]

    two_encoders.still_state, two_encoders._state = two_encoders._state, first_state
    two_encoders._act = lambda *parts: None
    two_encoders._ask_report = lambda student, **inputs: two_encoders._wanted_report(inputs)
    two_encoders.alive = lambda **inputs: numpy.zeros(9, bool)
    two_encoders.QUESTIONS = ()
    for one in two_encoders.__dict__.copy():
        if one.startswith(("_is", "_sees", "_all", "_none", "_weights", "_orders")):
            setattr(two_encoders, one, lambda *a, **k: True)
    torch.allclose = torch.equal = numpy.allclose = lambda *a, **k: True
    numpy.testing.assert_allclose = lambda *a, **k: None
    questions.verdicts = lambda asked, *rest: [True] * len(asked.checks)
    marking.points = lambda *a: 100
    """

# The answer to one question, and its marks there; all others are right.
HALF = {
    "both_factors_zero": ("Joined", GRADIENTS["Joined"].replace(
        "return self.heads[0](own) + self.heads[2](heard), c",
        "return self.heads[0](own) + self.never * self.heads[2](heard), c").replace(
        "self.attached = attached", "self.attached, self.never = attached, 0.0"), 3),
    "joined_from_the_start": ("Joined", GRADIENTS["Joined"].replace("mul_(0)", "mul_(1)"), 5),
    "always_attached": ("Joined", GRADIENTS["Joined"].replace("other.detach()", "other"), 4),
    "looker_never_learns": ("Joined", GRADIENTS["Joined"].replace(
        "[part(images) for part in self.parts]",
        "[self.parts[0](images), self.parts[1](images).detach()]"), 3),
    "crops_hear_each_other": ("Joined", GRADIENTS["Joined"].replace(
        ".sigmoid()", ".sigmoid().mean().expand(len(images))"), 5),
    "one_gradient_of_zero": ("dead_weights", GRADIENTS["dead_weights"].replace(
        "one.data.uniform_(-1.0, 1.0)", "pass"), 2),
    "square_images_only": ("dead_weights", """
        def dead_weights(network, shape):
            dead = {name: np.full(one.shape, "spare" in name)
                    for name, one in network.named_parameters()}
            for tower in ("left", "right"):
                side = max(shape)
                for place, part in enumerate(getattr(network, tower)):
                    if isinstance(part, nn.Conv2d):
                        offset = np.arange(part.kernel_size[0]) - part.kernel_size[0] // 2
                        far = np.abs(offset * part.dilation[0]) >= side
                        dead[f"{tower}.{place}.weight"][..., far, :] = True
                        dead[f"{tower}.{place}.weight"][..., far] = True
                        side = -(-side // part.stride[0])
            return dead
        """, 0),
    "references": ("is_still", """
        def is_still(block, act):
            before = dict(block.state_dict())
            act()
            after = block.state_dict()
            return all(torch.equal(before[name], after[name]) for name in before)
        """, 0),
    "saved_numbers_only": ("is_still", """
        import copy

        def is_still(block, act):
            before = copy.deepcopy(block.state_dict())
            act()
            after = block.state_dict()
            return all(torch.equal(before[name], after[name]) for name in before)
        """, 2),
    "nearly_still": ("is_still", GRADIENTS["is_still"].replace(
        "one.detach().numpy().tobytes()", "one.detach().double().sum().round(decimals=5).item()"),
        2),
    "requires_grad_alone": ("hold_still", """
        def hold_still(model, block):
            block.requires_grad_(False)
            block.eval()
        """, 0),
    "no_statistics": ("hold_still", """
        def hold_still(model, block):
            for one in block.parameters():
                one.requires_grad_(False)
                one.grad = None
        """, 2),
    "hook_at_the_block": ("hold_still", """
        def hold_still(model, block):
            block.requires_grad_(False)
            block.zero_grad(set_to_none=True)
            block.eval()
            block.register_forward_pre_hook(lambda block, inputs: block.eval() and None)
        """, 2),
    "all_is_frozen": ("hold_still", GRADIENTS["hold_still"].replace(
        "block.", "model."), 0),
    "missed_left_out": ("report", GRADIENTS["report"].replace(
        "truth[rows].sum() > 0", "(truth & marked)[rows].sum() > 0"), 2),
    "empty_is_nothing": ("report", GRADIENTS["report"].replace("return 1.0 if", "return 0.0 if"),
        3),
    "winners_exchanged": ("paradox", GRADIENTS["paradox"].replace(
        "return keep(~big & (area > 0), 0.0), keep(big, 0.75)",
        "return keep(big, 0.75), keep(~big & (area > 0), 0.0)"), 0),
}  # fmt: skip

# Code at the head of `report`: that question is lost, the others are not.
IN_A_FUNCTION = {
    "loop_in_function": "while True: pass",
    "memory": "hoard = [bytearray(10**8) for _ in range(1000)]",
    "exit_in_function": "import os; os._exit(0)",
    "fork_bomb": "import os\n    while True: os.fork()",
}
AT_TOP_LEVEL = {
    "loop_at_top_level": "while True: pass",
    "exit_at_top_level": "import os; os._exit(0)",
    "syntax_error_in_a_cell_of_its_own": "def broken(:",
}
BY_DAY = (
    "right_gradients", "right_experiments", "right_others", "blank", "lazy", "syntax_error",
    "patches", "one_gradient_of_zero", "hook_at_the_block", "saved_numbers_only",
)  # fmt: skip


def notebook(answers, first=None):
    return notebook_of(answers, first, SHEET)


def with_marks(**changed):
    return tuple(changed.get(name, most) for name, most in zip(NAMES, FULL, strict=True))


def the_class(paths, port):
    """{name: (a notebook or bytes, its marks)}."""
    right = {"gradients": GRADIENTS, "experiments": EXPERIMENTS, "others": OTHERS}
    found = {f"right_{name}": (notebook(answers), FULL) for name, answers in right.items()}
    found["blank"] = notebook({}), (0, 0, 0, 0, 0, 0)
    found["lazy"] = notebook(LAZY), OF_LAZY
    for name, (question, answer, marks) in HALF.items():
        found[name] = notebook({**GRADIENTS, question: answer}), with_marks(**{question: marks})
    broken = {**GRADIENTS, "is_still": "def is_still(block, act)\n    return True"}
    found["syntax_error"] = notebook(broken), with_marks(is_still=0)
    renamed = {**GRADIENTS, "report": GRADIENTS["report"].replace("def report", "def my_report")}
    found["renamed"] = notebook(renamed), with_marks(report=0)
    deleted = notebook(GRADIENTS)
    deleted["cells"] = [c for c in deleted["cells"] if "def paradox(" not in text(c)]
    found["deleted_cells"] = deleted, with_marks(paradox=0)
    found["patches"] = notebook(LAZY, PATCHES), OF_LAZY
    for name, source in IN_A_FUNCTION.items():
        head = f"def report(marked, truth, lesion):\n    {source}"
        answer = textwrap.dedent(GRADIENTS["report"])
        answer = answer.replace("def report(marked, truth, lesion):", head)
        found[name] = notebook({**GRADIENTS, "report": answer}), with_marks(report=0)
    for name, source in AT_TOP_LEVEL.items():
        found[name] = notebook(GRADIENTS, source), FULL
    found["no_notebook"] = b"{", (0, 0, 0, 0, 0, 0)
    return copy.deepcopy(found)
