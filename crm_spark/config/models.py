"""Models as data (`conf/models/*.yml`): what is asked of whom, learnt from what, graded and gated how."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from crm_spark.config.strict import merge, parse, read_yaml
from crm_spark.errors import ConfigError, did_you_mean

Train = Literal["missing", "drifted", "always", "never"]
AlgorithmName = Literal["gbt", "forest", "tree"]
Point = Mapping[str, float]

# MLlib parameters a grid may name, and their types.
GRID_PARAMETERS: Mapping[str, type] = {
    "maxDepth": int, "maxIter": int, "numTrees": int, "maxBins": int, "minInstancesPerNode": int,
    "minInfoGain": float, "stepSize": float, "subsamplingRate": float,
}  # fmt: skip
_ONLY: Mapping[str, AlgorithmName] = {"maxIter": "gbt", "stepSize": "gbt", "numTrees": "forest"}
DELIVERED = "delivered"  # window id of a label that the operator delivers
SEGMENT_COLUMN = "segment"  # beside the view's columns in a training row: the customer's group as of the month, null before there were groups
GROUPS: Mapping[str, str] = {
    "city": "city",
    "segment": SEGMENT_COLUMN,
    "brand": "brand",
    "gender": "gender",
    "age_band": (
        "CASE WHEN age_years < 25 THEN '0-24' WHEN age_years < 35 THEN '25-34' WHEN age_years < 45 THEN '35-44' "
        "WHEN age_years < 55 THEN '45-54' WHEN age_years < 65 THEN '55-64' WHEN age_years >= 65 THEN '65 and over' END"
    ),
}
_WATCHED = ("city", "segment", "brand")  # by the gate, unless the spec says otherwise


@dataclass(frozen=True)
class MlflowConfig:
    """Where models are tracked and registered.

    `registry_uri` is for a registry of its own (as databricks-uc); empty: the tracking server's. Spark models pass through `scratch`
    on their way, which every node must see; empty: a folder of `artifacts`. `settings` is a YAML file with the experiment's
    description and tags, relative to the folder that holds the configuration folder.
    """

    tracking_uri: str
    artifacts: str
    experiment: str
    train: Train = "missing"
    settings: str | None = None
    model_prefix: str = ""
    registry_uri: str = ""
    scratch: str = ""

    def __post_init__(self) -> None:
        if not (self.artifacts or self.scratch):
            raise ValueError("artifacts is empty (the tracking server decides), so `scratch` must say where models pass through")


@dataclass(frozen=True)
class ExperimentSettings:
    """What the tracking server shows of the experiment."""

    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Label:
    """What is predicted: `value`, an aggregate over the as-of row `o` and the performance months `p`, or a delivered `outcome`."""

    name: str
    value: str | None = None
    outcome: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.outcome is None):
            raise ValueError("give either `value` (SQL over o.* and p.*) or `outcome` (a label of raw.outcome)")


@dataclass(frozen=True)
class Windows:
    """Months of history a feature may look back on, months left out after the as-of month, months the label looks at."""

    observation: int
    gap: int
    performance: int

    def __post_init__(self) -> None:
        if self.observation < 1 or self.gap < 0 or self.performance < 1:
            raise ValueError("observation and performance are at least 1 month, gap at least 0")

    @property
    def reach(self) -> int:
        """Months after the as-of month until the label is known."""
        return self.gap + self.performance


@dataclass(frozen=True)
class Features:
    """All usable columns of the view (or only `include`), without `exclude`, with `add` (name: SQL over the view's row)."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    add: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Algorithm:
    """An MLlib classifier and the values of its parameters to try."""

    name: AlgorithmName
    grid: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.grid.items():
            if name not in GRID_PARAMETERS or _ONLY.get(name, self.name) != self.name:
                known = [p for p in GRID_PARAMETERS if _ONLY.get(p, self.name) == self.name]
                raise ValueError(f"grid.{name}: {self.name} has no such parameter{did_you_mean(name, known)}")
            if not values or any(v != GRID_PARAMETERS[name](v) for v in values):
                raise ValueError(f"grid.{name}: a list of {GRID_PARAMETERS[name].__name__} values is wanted")

    @property
    def points(self) -> tuple[Point, ...]:
        """Every combination of the grid, first values first."""
        typed = [[GRID_PARAMETERS[name](v) for v in values] for name, values in self.grid.items()]
        return tuple(dict(zip(self.grid, combination, strict=True)) for combination in itertools.product(*typed))


@dataclass(frozen=True)
class Selection:
    """The algorithm listed first is kept unless a later one's AUC on validation is better by more than `standard_errors` of the difference.

    `validation_buckets` of the 100 split buckets choose; the 70 that are not held out learn, but for these.
    """

    standard_errors: float = 3.0
    validation_buckets: int = 15

    def __post_init__(self) -> None:
        if self.standard_errors < 0 or not 0 < self.validation_buckets < 70:
            raise ValueError("standard_errors is at least 0, validation_buckets between 1 and 69")


@dataclass(frozen=True)
class Stability:
    """How far a group of customers may be off before a model misses its gate.

    `by` names those of the spec's `groups` that are looked at; None: city, segment and brand, as far as there are such. The AUC of a
    group may be below that of all by at most `auc`, and its mean probability beside its share with the label by at most `rate`; three
    standard errors are allowed for chance. A group with fewer than `least` customers with the label, or without it, is too small to judge.
    """

    by: tuple[str, ...] | None = None
    auc: float = 0.1
    rate: float = 0.1
    least: int = 50

    def __post_init__(self) -> None:
        if min(self.auc, self.rate) < 0 or self.least < 2:
            raise ValueError("auc and rate are at least 0, least is at least 2")

    def watched(self, groups: Mapping[str, str]) -> tuple[str, ...]:
        """The names of the groups that are looked at."""
        return tuple(name for name in _WATCHED if name in groups) if self.by is None else self.by


@dataclass(frozen=True)
class Gate:
    """What the hold-out must show before a model may become champion.

    `lift_at_10` asks at most half the way from chance to what is possible: 1.5 where half of the customers have the label. `precision`: of
    as many customers with the highest scores as have the label, the share that has it. The AUC may be below the present champion's, on the
    same customers, by at most `below_champion`; no group of customers may be further off than `stability` says. A feature
    that alone has an AUC above `single_auc` may tell what came after. With fewer than `positives` held-out customers with the label all of
    this is luck.
    """

    auc: float
    lift_at_10: float
    calibration_error: float
    precision: float = 0.0
    below_champion: float = 0.0
    single_auc: float = 0.95
    positives: int = 0
    stability: Stability = field(default_factory=Stability)

    def __post_init__(self) -> None:
        if self.below_champion < 0:
            raise ValueError("below_champion is at least 0")
        if not 0.5 <= self.single_auc <= 1:
            raise ValueError("single_auc is between 0.5 and 1")


def refuse_unknown_groups(gate: Gate, groups: Mapping[str, str]) -> None:
    """ValueError for a group that the gate looks at and the spec does not have."""
    unknown = [name for name in gate.stability.by or () if name not in groups]
    if unknown:
        raise ValueError(f"gate.stability.by: '{unknown[0]}' is not in groups{did_you_mean(unknown[0], groups)}")


@dataclass(frozen=True)
class Retrain:
    """When drift asks for a new model: the PSI of its score is above `score_psi`; features with a PSI above `psi` carry more than
    `features_share` of its gain; or the share of customers with the label has changed by more than `label_change` of itself."""

    score_psi: float = 0.25
    psi: float = 0.25
    features_share: float = 0.1
    label_change: float = 0.5

    def __post_init__(self) -> None:
        if min(self.score_psi, self.psi, self.features_share, self.label_change) < 0:
            raise ValueError("score_psi, psi, features_share and label_change are at least 0")


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    `grades` maps a city, or a named scale, to `grade: from which score`; `default_grades` names the scale of all other cities.
    `as_of_months` are the newest months whose label is known. With fewer than `time_split_positives` customers with the label no
    later month can be judged. `refit`: what validation has chosen is fitted once more, on the validation customers too. Of a population
    of more than `max_rows` rows (customers times as-of months) a sample of customers of about that many learns, chooses and judges.
    `groups` (name: SQL over the view's row, of few values) are judged one by one: is it as good, and as right, for each? One that is not
    `enabled` is there for the sources that switch it on.
    """

    name: str
    question: str
    population: str
    label: Label
    windows: Windows
    algorithms: tuple[Algorithm, ...]
    grades: dict[str, dict[str, float]]
    gate: Gate
    features: Features = field(default_factory=Features)
    selection: Selection = field(default_factory=Selection)
    retrain: Retrain = field(default_factory=Retrain)
    groups: dict[str, str] = field(default_factory=lambda: dict(GROUPS))
    default_grades: str = "default"
    as_of_months: int = 4
    minimum_positives: int = 50
    time_split_positives: int = 200
    max_rows: int = 500_000
    refit: bool = False
    enabled: bool = True
    seed: int = 17

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError("max_rows is at least 1")
        if not self.algorithms:
            raise ValueError("algorithms: at least one is wanted")
        if self.default_grades not in self.grades:
            raise ValueError(f"default_grades: '{self.default_grades}' is not in grades{did_you_mean(self.default_grades, self.grades)}")
        for scale, thresholds in self.grades.items():
            check_thresholds(scale, thresholds)
        if len({frozenset(t) for t in self.grades.values()}) > 1:
            raise ValueError("grades: every city must have the same grade names")
        refuse_unknown_groups(self.gate, self.groups)

    @property
    def window_id(self) -> str:
        """How the label table tells this window: `o<observation>g<gap>p<performance>`, or `delivered`."""
        w = self.windows
        return DELIVERED if self.label.outcome else f"o{w.observation}g{w.gap}p{w.performance}"

    @property
    def grade_names(self) -> tuple[str, ...]:
        """Grade names, highest first."""
        scale = self.grades[self.default_grades]
        return tuple(sorted(scale, key=lambda g: -scale[g]))


def load_models(conf_dir: Path, source: str) -> dict[str, ModelSpec]:
    """Every enabled model of `conf/models`, with `conf/sources/<source>/models.yml` laid over it; all problems are told together.

    A source may change parts of a model, add a whole one, remove one (`newspaper_response: null`), or switch one on (`fraud: {enabled: true}`).
    """
    folder, over = conf_dir / "models", conf_dir / "sources" / source / "models.yml"
    base = {path.stem: read_yaml(path) for path in sorted(folder.glob("*.yml"))}
    overlay = read_yaml(over) if over.exists() else {}
    strays = [name for name in overlay if _is_stray(name, base, overlay)]
    problems = [f"{over}: unknown model '{name}'{did_you_mean(name, base)}" for name in strays]
    specs: dict[str, ModelSpec] = {}
    for name, raw in merge(base, {n: o for n, o in overlay.items() if n not in strays}).items():
        files = [str(folder / f"{name}.yml")] * (name in base) + [str(over)] * (name in overlay)
        try:
            specs[name] = parse(ModelSpec, {**raw, "name": name}, " with ".join(files))
        except ConfigError as error:
            problems.extend(error.problems)
    problems.extend(_shared_labels(specs, folder))
    if problems:
        raise ConfigError(problems)
    return {name: spec for name, spec in specs.items() if spec.enabled}


def load_experiment_settings(config: MlflowConfig) -> ExperimentSettings:
    """The settings file that `config.settings` names; the defaults without one. ConfigError for a file that is not there."""
    if config.settings is None:
        return ExperimentSettings()
    return parse(ExperimentSettings, read_yaml(Path(config.settings)), config.settings)


def check_thresholds(scale: str, thresholds: Mapping[str, float]) -> None:
    """ValueError unless the grades begin at distinct scores from 0 to 100, one of them at 0."""
    values = list(thresholds.values())
    if len(set(values)) != len(values) or any(not 0 <= v <= 100 for v in values) or 0 not in values:
        raise ValueError(f"grades.{scale}: distinct scores from 0 to 100 are wanted, and one grade must begin at 0")


def _is_stray(name: str, base: Mapping[str, Any], overlay: Mapping[str, Any]) -> bool:
    return name not in base and (not isinstance(overlay[name], Mapping) or "question" not in overlay[name])


def _shared_labels(specs: Mapping[str, ModelSpec], where: Path) -> list[str]:
    """Labels are stored by name and window: two models may not give one pair two meanings."""
    owners: dict[tuple[str, str], str] = {}
    problems = []
    for spec in specs.values():
        owner = owners.setdefault((spec.label.name, spec.window_id), spec.name)
        if owner != spec.name:
            both = f"models '{owner}' and '{spec.name}'"
            problems.append(f"{where}: {both} define the label '{spec.label.name}' of window {spec.window_id}")
    return problems
