"""Every run of the experiments, as one list that can be read.

A `Row` is a row of a table: a network, its first weights and its training data. A `Profile` says
how large everything is and how long it learns. A `Run` is one row with one fold and one seed.
"""

from dataclasses import asdict, dataclass, field, fields, replace

from nodule_lesson.networks.detection_guided import SLIM
from nodule_lesson.training.losses import DICE_OVER

# The rows that the paper prints, in its order. All other rows serve to test its claims.
TABLES = {
    1: ("unet", "resunet", "resunet++", "deeplabv3+", "proposed"),
    2: ("transfer", "freeze S1", "freeze S5", "freeze S9", "freeze C1", "freeze FC"),
    3: ("backbone", "backbone+combination", "std", "proposed", "transfer"),
}


@dataclass(frozen=True)
class Row:
    """One row of a table. model and options: arguments of `build_model`.

    pretrained: whether the network is first trained on `pretrain`, without STD. frozen: blocks
    that are not trained. prior: the c that the prior is given, one of `variants.PRIORS`.
    iteration: "derived" or "printed", as the paper prints it. lesions: how many of the
    clinic's training lesions are used. own_rate: whether sigma and lambda2 have the learning rate
    `std_learning_rate` of the profile. rates: learning rates of single parameters as pairs
    (name, rate); they override the others. dice_over: what the Dice loss is taken over, None for
    the profile's choice. frozen_part: "all" of the frozen blocks, only their "weights", or only
    their batch-norm "statistics". schedule: "step", the profile's decay, or "cosine", down to 0.
    augmented: see `variants.Augmented`.
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
    rates: tuple = ()
    dice_over: str | None = None
    frozen_part: str = "all"
    schedule: str = "step"
    augmented: bool = False


_FAST_STD = (("std.raw_sigma", 2e-2), ("std.raw_lambda2", 2e-2))
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
        # The rivals pre-trained like the proposed network, and STD on another network.
        *(
            Row(f"{name}, pre-trained", name, pretrained=True)
            for name in ("unet", "resunet", "resunet++", "deeplabv3+")
        ),
        Row("resunet+std", "resunet", std=True),
        # Priors with the true c, with a shuffled c, and with a c that passes its gradient back.
        Row("c = truth", prior="truth"),
        Row("c shuffled", prior="shuffled"),
        Row("c attached", prior="attached"),
        # Other ways to combine the two encoders.
        *(
            Row(name, options={"combine": name})
            for name in ("concatenation", "linear", "upsampled", "shared")
        ),
        Row("S4+S5", options={"combine": ("S4", "S5")}),
        # The printed iteration, sigma and lambda2 at the network's rate, fewer lesions.
        Row("printed iteration", iteration="printed"),
        Row("slow std", own_rate=False),
        *(Row(f"{count} lesions", lesions=count) for count in (5, 15)),
        *(
            replace(_TRANSFER, name=f"{count} lesions, transfer", lesions=count)
            for count in (5, 15)
        ),
        # Three ways to read the Dice loss, and a faster rate for sigma and lambda2.
        *(
            Row(f"{name} (Dice by {over})", name, dice_over=over)
            for over in DICE_OVER
            for name in ("unet", "backbone", "backbone+combination", "proposed")
        ),
        *(
            Row(f"proposed (Dice by {over}, fast STD)", dice_over=over, rates=_FAST_STD)
            for over in DICE_OVER
        ),
        # Rows that explain the steps of Table 3: the prior without combination blocks, a wider
        # backbone with as many weights, and the blocks with normalisation and ReLU.
        Row("prior, no combination", options={"combine": False}),
        Row("wider backbone", "backbone", options={"width": 9}),
        Row("combination with ReLU", "backbone+combination", options={"activation": True}),
        # Sigma fixed at three values, or learned from 3; a length term that outweighs the entropy.
        *(
            Row(f"sigma = {sigma:g}", options={"std": {"sigma": sigma, "learn_sigma": False}})
            for sigma in (0.4, 1.0, 2.0)
        ),
        Row("sigma from 3", options={"std": {"sigma": 3.0}}, rates=_FAST_STD[:1]),
        Row("lambda1 = 3", options={"std": {"lambda1": 3.0}}),
        # Without the prior, a last bias that may move as fast as the prior could.
        Row("free last bias", "std", rates=(("last.bias", 2e-2),)),
        # The two halves of a frozen S9: which of them does the harm?
        *(
            replace(_TRANSFER, name=f"freeze S9's {part}", frozen=("S9",), frozen_part=part)
            for part in ("weights", "statistics")
        ),
        # A reference that the paper lacks: a U-Net that is tuned on left-out lesions.
        *(
            Row(
                f"unet tuned (width {width}, {schedule}{', augmented' if augmented else ''})",
                *("unet", {"width": width}),
                schedule=schedule,
                augmented=augmented,
            )
            for width in (8, 16)
            for schedule in ("step", "cosine")
            for augmented in (False, True)
        ),
    )
}


@dataclass(frozen=True)
class Profile:
    """The size of networks, data and training.

    slim: the slim network or the full one. side: pixels of a crop. pretrain_steps: steps of
    pre-training. steps: on the clinic's lesions, after pre-training. scratch_steps: on the
    clinic's lesions, without pre-training. epochs: if given, it replaces steps and scratch_steps:
    how often each of the clinic's slices is seen. folds: the number of folds, None for one run on
    all training lesions. seeds: how many for each row in TABLES; extra_seeds: how many for each
    other row. clinics: on how many clinics each run is repeated. patients: how many patients each
    simulated set has at most, None for all. slices_of_a_lesion: how many are scored at most, None
    for all. dice_over: see `losses.dice_loss`. checkpoint_every: steps between two checkpoints.
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
    clinics: int = 1
    epochs: int | None = None
    slices_of_a_lesion: int | None = 2
    dice_over: str = "slice"
    checkpoint_every: int = 500  # some minutes on a T4, longer than a laptop's run

    @property
    def width(self):
        return 8 if self.slim else 64


# What the stage "choice" said: the reading of the Dice with the highest mean, and the next one.
_CHOSEN, _SECOND = "nodule", "slice"
_NIGHT = Profile(
    *("night", True, 64, 10_000, 0, 0, None, 3, 1),
    clinics=3,
    epochs=50,
    slices_of_a_lesion=None,
    std_learning_rate=2e-2,  # what the stage "rate" said
    dice_over=_CHOSEN,
)
PROFILES = {
    profile.name: profile
    for profile in (
        # Only to see that everything runs: it learns next to nothing.
        Profile("demo", True, 32, 6, 6, 6, None, 1, 1, patients=1),
        # For two cores of a laptop. Every row takes 500 steps in all: protocol.json says why.
        Profile("laptop", True, 64, 300, 200, 500, None, 3, 1),
        # The evidence of the last chapters: two cores for some nights; see protocol_night.json.
        _NIGHT,
        # To choose what the paper leaves open, before "night": as many steps as on a real clinic.
        replace(_NIGHT, name="choice", epochs=20, dice_over="slice", std_learning_rate=1e-3),
        # The paper's network itself on two cores, 5 to 6 s per step: some ten core hours.
        replace(_NIGHT, name="full", slim=False, pretrain_steps=1_600, checkpoint_every=25),
        # For one T4: some minutes per row, projected in the chapter on training, not measured.
        Profile("colab", False, 64, 8_000, 3_250, 11_250, None, 1, 1),
        # The paper's sizes: 50 epochs of 650 slices, and 40 of its 200 epochs of pre-training.
        Profile("paper", False, 128, 80_000, 3_250, 3_250, 5, 1, 1),
    )
}


@dataclass(frozen=True)
class Run:
    """One row of one profile with one fold, one seed and one clinic. data: name of the data."""

    data: str
    profile: Profile
    row: Row
    fold: int | None
    seed: int
    clinic: int = 1

    @property
    def name(self):
        """A name for files: letters, digits and hyphens."""
        text = "".join(c if c.isalnum() else "-" for c in self.row.name.replace("+", "plus-"))
        number = "" if self.fold is None else f"-fold{self.fold}"
        clinic = f"-clinic{self.clinic}" if self.profile.clinics > 1 else ""
        return f"{text}{number}{clinic}-seed{self.seed}".replace("--", "-")

    def steps(self, slices):
        """The number of training steps on a clinic with this number of slices."""
        profile = self.profile
        if profile.epochs is not None:
            return max(1, profile.epochs * slices // profile.batch)
        return profile.steps if self.row.pretrained else profile.scratch_steps

    @property
    def dice_over(self):
        return self.row.dice_over or self.profile.dice_over

    @property
    def configuration(self):
        """Everything that decides the result, as a dictionary for JSON."""
        row = asdict(self.row)
        row["frozen"] = list(row["frozen"])
        row["options"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in row["options"].items()
        }
        profile = asdict(self.profile)
        # How many runs there are, and how often one is saved, does not decide the result of one.
        for unused in (
            *("folds", "seeds", "extra_seeds", "scratch_steps", "clinics"),
            "checkpoint_every",
        ):
            del profile[unused]
        if self.profile.epochs is None:
            profile["steps"] = self.steps(0)
        else:
            del profile["steps"]
        # Fields that are younger than the first results are left out where they have their
        # defaults: so the older files still equal the configuration.
        row["rates"] = [list(pair) for pair in row["rates"]] or ()
        _drop_defaults(
            *(row, Row),
            ("rates", "dice_over", "frozen_part", "schedule", "augmented"),
        )
        _drop_defaults(profile, Profile, ("epochs", "slices_of_a_lesion", "dice_over"))
        clinic = {"clinic": self.clinic} if self.profile.clinics > 1 else {}
        return {
            "data": self.data,
            "row": row,
            "profile": profile,
            **clinic,
            "fold": self.fold,
            "seed": self.seed,
        }


def _drop_defaults(values, kind, names):
    for entry in fields(kind):
        if entry.name in names and values[entry.name] == entry.default:
            del values[entry.name]


@dataclass(frozen=True)
class Stage:
    """A part of the evidence: rows of one profile, on its clinics, with several seeds.

    seeds: how many. clinics: how many of the profile's clinics, None for all.
    """

    data: str
    rows: tuple
    seeds: int
    profile: str = "night"
    clinics: int | None = None


_READINGS = tuple(name for name in ROWS if "(Dice by" in name)
_TABLES_1_AND_3 = tuple(dict.fromkeys(TABLES[1] + TABLES[3]))
STAGES = {
    "choice": Stage(
        "simulated",
        tuple(f"{name} (Dice by {over})" for over in DICE_OVER for name in ("unet", "proposed")),
        1,
        profile="choice",
    ),
    "rate": Stage("simulated", (f"proposed (Dice by {_CHOSEN}, fast STD)",), 1, profile="choice"),
    "1": Stage("real", _TABLES_1_AND_3, 3),
    "2": Stage(
        "real",
        (
            *TABLES[2][1:],
            *("unet, pre-trained", "resunet, pre-trained"),
            *(
                f"{name} (Dice by {_SECOND})"
                for name in ("unet", "backbone", "backbone+combination", "proposed")
            ),
        ),
        1,
    ),
    "3": Stage("real", ("transfer",), 1, profile="full", clinics=1),
    "4": Stage(
        "real",
        (
            *("prior, no combination", "wider backbone", "combination with ReLU"),
            *("sigma = 0.4", "sigma = 1", "sigma = 2", "sigma from 3", "lambda1 = 3"),
            *("c = truth", "c shuffled", "free last bias"),
            *("freeze S9's weights", "freeze S9's statistics"),
        ),
        1,
    ),
    "tuning": Stage("real", tuple(name for name in ROWS if name.startswith("unet tuned")), 1),
    "5": Stage("simulated", _TABLES_1_AND_3, 1),
}


def runs_of_stage(name):
    """The runs of a stage, seed by seed and clinic by clinic: a list.

    Raises ValueError for an unknown stage.
    """
    if name not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}; found {name!r}.")
    stage = STAGES[name]
    profile = PROFILES[stage.profile]
    return [
        Run(stage.data, profile, ROWS[row], None, seed, clinic)
        for seed in range(stage.seeds)
        for clinic in range(1, (stage.clinics or profile.clinics) + 1)
        for row in stage.rows
    ]


def rows_of(table):
    """Names of the rows of a table: 1, 2, 3, "extra" for rows outside the tables, or "all".

    Rows that only a stage of the profile "night" needs are in none of these.
    """
    printed = list(dict.fromkeys(name for names in TABLES.values() for name in names))
    staged = {*_READINGS, *STAGES["4"].rows, *STAGES["tuning"].rows} - {"c = truth", "c shuffled"}
    extra = [name for name in ROWS if name not in printed and name not in staged]
    if table == "all":
        return printed + extra
    if table == "extra":
        return extra
    if table not in TABLES:
        raise ValueError(f"table must be 1, 2, 3, extra or all, found {table!r}.")
    return list(TABLES[table])


def runs(table="all", profile="laptop", data="simulated", rows=None):
    """The runs of a table: a list, seed by seed, so that an interrupted grid has complete seeds.

    rows: names of ROWS, used instead of a table. Raises ValueError for unknown names.
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
