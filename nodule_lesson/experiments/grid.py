"""Every run of the experiments, as one list that can be read.

A `Row` is a row of a table: which network, from which weights, on what. A `Profile` says how large
everything is and how long it learns. A `Run` is one row with one fold and one seed.
"""

from dataclasses import asdict, dataclass, field, replace

from nodule_lesson.multitask import SLIM

# Printed in the paper, in this order; the others are what its claims need and it does not have.
TABLES = {
    1: ("unet", "resunet", "resunet++", "deeplabv3+", "proposed"),
    2: ("transfer", "freeze S1", "freeze S5", "freeze S9", "freeze C1", "freeze FC"),
    3: ("backbone", "backbone+combination", "std", "proposed", "transfer"),
}


@dataclass(frozen=True)
class Row:
    """One row. model: a name of `build_model`, with options.

    pretrained: first trained on `pretrain`, without STD, then here. frozen: blocks held still.
    prior: what the prior's c is while training, one of `variants.PRIORS`. iteration: "derived" or
    "printed", Eq. (5) as the paper has it. lesions: how many of the clinic's training lesions.
    own_rate: whether sigma and lambda2 have a learning rate of their own.
    """

    name: str
    model: str = "proposed"
    options: dict = field(default_factory=dict)
    pretrained: bool = False
    frozen: tuple = ()
    prior: str = "classifier"
    iteration: str = "derived"
    std: bool = False  # STD at the end of a network that has none
    lesions: int = 45
    own_rate: bool = True


_TRANSFER = Row("transfer", pretrained=True)
ROWS = {
    row.name: row
    for row in (
        # Table 1: all from scratch, on the clinic's lesions.
        *(Row(name, name) for name in ("unet", "resunet", "resunet++", "deeplabv3+", "proposed")),
        # Table 2.
        _TRANSFER,
        *(
            replace(_TRANSFER, name=f"freeze {block}", frozen=(block,))
            for block in ("S1", "S5", "S9", "C1", "FC")
        ),
        # Table 3, whose other two rows are "proposed" and "transfer".
        *(Row(name, name) for name in ("backbone", "backbone+combination", "std")),
        # What the paper's claims need and its tables lack: the rivals pre-trained like the
        # proposed one, STD on another network, ...
        *(
            Row(f"{name}, pre-trained", name, pretrained=True)
            for name in ("unet", "resunet", "resunet++", "deeplabv3+")
        ),
        Row("resunet+std", "resunet", std=True),
        # ... a prior that knows, one that knows nothing, one whose gradient flows back, ...
        Row("c = truth", prior="truth"),
        Row("c shuffled", prior="shuffled"),
        Row("c attached", prior="attached"),
        # ... other ways to combine the two encoders, ...
        *(
            Row(name, options={"combine": name})
            for name in ("concatenation", "linear", "upsampled", "shared")
        ),
        Row("S4+S5", options={"combine": ("S4", "S5")}),
        # ... the printed iteration, sigma and lambda2 at the network's rate, fewer lesions.
        Row("printed iteration", iteration="printed"),
        Row("slow std", own_rate=False),
        *(Row(f"{count} lesions", lesions=count) for count in (5, 15)),
        *(
            replace(_TRANSFER, name=f"{count} lesions, transfer", lesions=count)
            for count in (5, 15)
        ),
    )
}


@dataclass(frozen=True)
class Profile:
    """How large and how long. side: of a crop. steps: on the clinic's lesions, after pre-training.
    scratch_steps: on the clinic's lesions, without it.

    folds: None for a run on all training lesions, or the number of folds. seeds: of the rows in
    TABLES; extra_seeds: of the others. patients: of simulated sets, None for all.
    """

    name: str
    slim: bool
    side: int
    pretrain_steps: int
    steps: int
    scratch_steps: int
    folds: int | None
    seeds: int
    extra_seeds: int
    patients: int | None = None
    batch: int = 10
    learning_rate: float = 1e-3
    weight_decay: float = 1e-8
    std_learning_rate: float = 2e-2
    decay: float = 0.75  # after every tenth of the steps: five of fifty epochs

    @property
    def width(self):
        return 8 if self.slim else 64


PROFILES = {
    profile.name: profile
    for profile in (
        # A look at the machinery: it learns next to nothing.
        Profile("demo", True, 32, 6, 6, 6, None, 1, 1, patients=1),
        # On two cores of a laptop. Every row takes 500 steps in all: protocol.json says why.
        Profile("laptop", True, 64, 300, 200, 500, None, 3, 1),
        # One T4: some minutes a row, as the chapter on training projects; not measured.
        Profile("colab", False, 64, 8_000, 3_250, 11_250, None, 1, 1),
        # The paper's: 50 epochs of 650 slices, and 40 of its 200 epochs of pre-training.
        Profile("paper", False, 128, 80_000, 3_250, 3_250, 5, 1, 1),
    )
}


@dataclass(frozen=True)
class Run:
    """One row, one fold, one seed, of one profile. data: the name of the data."""

    data: str
    profile: Profile
    row: Row
    fold: int | None
    seed: int

    @property
    def name(self):
        """A name for files: letters, digits and hyphens."""
        text = "".join(c if c.isalnum() else "-" for c in self.row.name.replace("+", "plus-"))
        number = "" if self.fold is None else f"-fold{self.fold}"
        return f"{text}{number}-seed{self.seed}".replace("--", "-")

    @property
    def steps(self):
        """How long it learns on the clinic's lesions."""
        return self.profile.steps if self.row.pretrained else self.profile.scratch_steps

    @property
    def configuration(self):
        """All that decides the result, as JSON can hold it."""
        row = asdict(self.row)
        row["frozen"] = list(row["frozen"])
        row["options"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in row["options"].items()
        }
        profile = asdict(self.profile)
        for unused in ("folds", "seeds", "extra_seeds", "scratch_steps"):  # not of one run
            del profile[unused]
        profile["steps"] = self.steps
        return {
            "data": self.data,
            "row": row,
            "profile": profile,
            "fold": self.fold,
            "seed": self.seed,
        }


def rows_of(table):
    """Names of the rows of a table: 1, 2, 3, "extra" for what no table has, or "all"."""
    printed = list(dict.fromkeys(name for names in TABLES.values() for name in names))
    if table == "all":
        return printed + [name for name in ROWS if name not in printed]
    if table == "extra":
        return [name for name in ROWS if name not in printed]
    if table not in TABLES:
        raise ValueError(f"table must be 1, 2, 3, extra or all, found {table!r}.")
    return list(TABLES[table])


def runs(table="all", profile="laptop", data="simulated", rows=None):
    """The runs of a table, seed by seed, so that an interrupted grid has whole seeds: a list.

    rows: names of ROWS, instead of a table. Raises ValueError for unknown names.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}; found {profile!r}.")
    names = rows_of(table) if rows is None else rows
    for name in names:
        if name not in ROWS:
            raise ValueError(f"a row must be one of {', '.join(ROWS)}; found {name!r}.")
    size = PROFILES[profile]
    folds = [None] if size.folds is None else range(size.folds)
    extra = rows_of("extra")
    return [
        Run(data, size, ROWS[name], fold, seed)
        for seed in range(max(size.seeds, size.extra_seeds))
        for name in names
        if seed < (size.extra_seeds if name in extra else size.seeds)
        for fold in folds
    ]


def model_options(row, profile):
    """Arguments for `build_model(row.model, width, **options)`."""
    slim = {key: value for key, value in SLIM.items() if key != "width"}
    multitask = row.model in ("proposed", "backbone", "backbone+combination", "std", "std+prior")
    return {**(slim if multitask and profile.slim else {}), **row.options}
