"""Marketing matrices as written by planners: `conf/matrices/<name>.csv` with `<name>.yml`, policies, and what they share.

`conf/sources/<source>/` may hold `policies.csv`, `approvals.csv`, `decisions.yml`, `choosing.yml` and `matrices/<name>.csv|yml` of its own: a
sheet replaces the common one of that name, `decisions.yml` and `choosing.yml` are laid over it. Here files are read; what the cells mean is decided in
`crm_spark.decisions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

from crm_spark.config.approvals import Approval, load_approvals
from crm_spark.config.choosing import CHOOSING, Choosing, read_choosing
from crm_spark.config.grades import GRADES, read_grades
from crm_spark.config.policies import Goal, Policy, load_policies
from crm_spark.config.sheet import Sheet, read_sheet
from crm_spark.config.strict import load, merge, parse, read_yaml
from crm_spark.errors import ConfigError, did_you_mean

Kind = Literal["number", "string", "boolean", "date"]
HitPolicy = Literal["UNIQUE", "ANY", "FIRST", "PRIORITY", "RULE ORDER", "OUTPUT ORDER", "COLLECT"]
Aggregation = Literal["LIST", "MIN", "MAX", "SUM", "COUNT"]
OutputKind = Literal[
    "text", "number", "goals", "offer_mode", "policy", "policy_group", "policy_list", "tier", "families", "need", "need_kind", "score", "goal"
]  # fmt: skip
OF_A_NEED: tuple[OutputKind, ...] = ("need", "need_kind", "score", "goal")  # what a rule that tells a need gives, all four
Part = TypeVar("Part")


@dataclass(frozen=True)
class Condition:
    """A policy is offered only to whom `requires` (SQL over the columns matrices may read) is true or not known."""

    reason: str
    requires: str
    policies: tuple[str, ...] = ()
    goals: tuple[Goal, ...] = ()
    services: tuple[str, ...] = ()

    def concerns(self, policy: Policy) -> bool:
        """True of the policies named, and of those that serve a goal or bring a service named."""
        return policy.policy_id in self.policies or policy.goal in self.goals or policy.service in self.services


@dataclass(frozen=True)
class DecisionSettings:
    """What all matrices share.

    `return_rate_3q` says whether that column means the mean of the nine months or each of them (the lowest). `services` are the
    service codes a policy may bring; none listed: any. `conditions` are what policies ask for themselves.
    """

    return_rate_3q: Literal["mean", "each"] = "mean"
    services: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class InputSpec:
    """Type of an input column; `allowed` lists the only values a cell may name."""

    type: Kind
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class DerivedSpec:
    """A column made for matrices by a SQL expression over the decision input."""

    sql: str
    type: Kind


@dataclass(frozen=True)
class MatrixSpec:
    """The YAML beside a matrix: the question it answers, its columns, and the outputs where no rule fires (`default`).

    `output_values` ranks what an output may say, best first, for PRIORITY and OUTPUT ORDER; `aggregation` is for COLLECT.
    """

    question: str
    hit_policy: HitPolicy
    inputs: dict[str, Kind | InputSpec]
    outputs: dict[str, OutputKind]
    goal: Goal | None = None
    derived: dict[str, DerivedSpec] = field(default_factory=dict)
    default: dict[str, str] = field(default_factory=dict)
    output_values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aggregation: Aggregation = "LIST"

    def __post_init__(self) -> None:
        if self.hit_policy in ("PRIORITY", "OUTPUT ORDER") and not self.output_values:
            raise ValueError(f"hit_policy {self.hit_policy} needs output_values: what an output may say, best first")
        if strange := [c for c in self.output_values if c not in self.outputs]:
            raise ValueError(f"output_values.{strange[0]}: unknown output{did_you_mean(strange[0], self.outputs)}")
        if self.aggregation != "LIST" and (self.hit_policy != "COLLECT" or len(self.outputs) != 1):
            raise ValueError(f"aggregation {self.aggregation} is for hit_policy COLLECT and one output")
        if self.aggregation in ("MIN", "MAX", "SUM") and [*self.outputs.values()] != ["number"]:
            raise ValueError(f"aggregation {self.aggregation} needs an output of type number")
        given = set(self.outputs.values())
        if given & set(OF_A_NEED) and (missing := [kind for kind in OF_A_NEED if kind not in given]):
            raise ValueError(f"a need has outputs of the types {', '.join(OF_A_NEED)}; missing: {', '.join(missing)}")
        if self.goal and (auxiliary := sorted(given & {"tier", "families", *OF_A_NEED})):
            raise ValueError(f"a matrix with an output of type {auxiliary[0]} serves no goal of its own: leave `goal` away")


@dataclass(frozen=True)
class MatrixFiles:
    """One matrix as read: `version` is a short hash of its two files, the policies and the shared settings' files."""

    name: str
    path: str
    spec: MatrixSpec
    sheet: Sheet
    version: str


@dataclass(frozen=True)
class MatrixConfig:
    """Everything planners wrote for one source: what could be read, ordered by name, and the problems of the rest.

    `files` are the texts that decide, by their path below a configuration folder: written there, they give the same set again; where grades
    begin is one of them (`config.grades`). `choosing` is None where the set has none (those of before it had) or it cannot be read.
    """

    settings: DecisionSettings
    policies: dict[str, Policy]
    matrices: tuple[MatrixFiles, ...]
    problems: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    choosing: Choosing | None = None

    @property
    def version(self) -> str:
        """Content version of the whole set: a short hash of its files."""
        digest = hashlib.sha256()
        for name, text in sorted(self.files.items()):
            digest.update(f"{name}\0{text}\0".encode())
        return digest.hexdigest()[:12]


def load_decisions(conf_dir: Path, source: str) -> MatrixConfig:
    """The matrices of a source. Never raises: problems of files and of cells are told together, when the cells are read."""
    problems: list[str] = []
    folders = (conf_dir, conf_dir / "sources" / source)
    settings = _told(lambda: _settings(folders), problems) or DecisionSettings()
    policies = _told(lambda: load_policies(_last_existing(folders, "policies.csv"), settings.services), problems) or {}
    problems += _unknown_names(settings, policies)
    choosing = _told(lambda: read_choosing(conf_dir, source), problems)
    approvals = _told(lambda: load_approvals(approvals_file(conf_dir, source)), problems) or ()
    names = sorted({p.stem for folder in folders for p in (folder / "matrices").glob("*.*") if p.suffix in (".csv", ".yml")})
    files = _files(folders, names)
    shared = "\0".join(text for name, text in files.items() if not name.startswith("matrices/") and not name.endswith(CHOOSING)).encode()
    if (grades := _told(lambda: read_grades(conf_dir, source), problems)) is not None:
        files[GRADES] = grades
    read = [_told(lambda n=name: _matrix(folders, n, shared), problems) for name in names]  # type: ignore[misc]
    if not names:
        problems.append(f"{conf_dir / 'matrices'}: no matrix there; one is <name>.csv with <name>.yml")
    return MatrixConfig(settings, policies, tuple(m for m in read if m), tuple(problems), files, approvals, choosing)


def choosing_of(config: MatrixConfig, models: Iterable[str], where: str = CHOOSING) -> Choosing:
    """What the set chooses by; ConfigError if there is none, or it cannot be read, or for every name that nothing stands behind."""
    if config.choosing is None:
        raise ConfigError(list(config.problems) if CHOOSING in config.files else f"{where}: no such file")
    if problems := [f"{where}: {problem}" for problem in config.choosing.problems(config.policies, sorted(models))]:
        raise ConfigError(problems)
    return config.choosing


def decisions_of(files: Mapping[str, str], source: str) -> MatrixConfig:
    """The set of these files, as `MatrixConfig.files` names them; ConfigError for a name that leads out of a folder."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        for name, text in files.items():
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ConfigError(f"'{name}' is no file of a matrix set")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        found = load_decisions(folder, source)
        return replace(found, problems=tuple(problem.replace(f"{folder}/", "") for problem in found.problems))


def approvals_file(conf_dir: Path, source: str) -> Path:
    """Where the approvals of a source stand."""
    return _last_existing((conf_dir, conf_dir / "sources" / source), "approvals.csv")


def _files(folders: tuple[Path, Path], names: list[str]) -> dict[str, str]:
    """The texts of the set, each where the source has its own that one; of those that are laid over, both."""
    chosen = ["policies.csv", *(f"matrices/{name}.{suffix}" for name in names for suffix in ("csv", "yml"))]
    paths = {name: _last_existing(folders, name) for name in chosen}
    laid = {str((folder / name).relative_to(folders[0])): folder / name for folder in folders for name in ("decisions.yml", CHOOSING)}
    return {name: path.read_bytes().decode(errors="replace") for name, path in {**laid, **paths}.items() if path.exists()}


def _unknown_names(settings: DecisionSettings, policies: Mapping[str, Policy]) -> list[str]:
    """Policies and services of conditions that nothing stands behind; without policies (their sheet has problems of its own) those are left."""
    told = []
    for number, condition in enumerate(settings.conditions):
        for kind, names, known in (("policy", condition.policies, policies), ("service", condition.services, settings.services)):
            unknown = [name for name in names if known and name not in known]
            told += [f"decisions.yml: conditions[{number}]: unknown {kind} '{name}'{did_you_mean(name, known)}" for name in unknown]
    return told


def _settings(folders: tuple[Path, Path]) -> DecisionSettings:
    return parse(DecisionSettings, *_laid_over(folders, "decisions.yml"))


def _laid_over(folders: tuple[Path, Path], name: str) -> tuple[dict[str, object], str]:
    """What the files of that name say together, the source's own laid over the common one, and which these are."""
    files = [f / name for f in folders if (f / name).exists()]
    return reduce(merge, map(read_yaml, files), {}), ", ".join(map(str, files))


def read_matrix_files(csv: Path, yml: Path, shared: bytes = b"") -> MatrixFiles:
    """One matrix; ConfigError tells what is wrong with both files. `shared` is what else its version depends on."""
    problems: list[str] = []
    spec = _told(lambda: load(MatrixSpec, yml), problems)
    sheet = _told(lambda: read_sheet(csv), problems)
    if spec is None or sheet is None:
        raise ConfigError(problems)
    version = hashlib.sha256(csv.read_bytes() + b"\0" + yml.read_bytes() + b"\0" + shared).hexdigest()[:12]
    return MatrixFiles(csv.stem, str(yml), spec, sheet, version)


def _matrix(folders: tuple[Path, Path], name: str, shared: bytes) -> MatrixFiles:
    csv, yml = (_last_existing(folders, f"matrices/{name}.{suffix}") for suffix in ("csv", "yml"))
    return read_matrix_files(csv, yml, shared)


def _last_existing(folders: tuple[Path, Path], name: str) -> Path:
    """The source's own file where it has one, else the common one."""
    own = folders[1] / name
    return own if own.exists() else folders[0] / name


def _told(read: Callable[[], Part], problems: list[str]) -> Part | None:
    try:
        return read()
    except ConfigError as error:
        problems.extend(error.problems)
        return None
