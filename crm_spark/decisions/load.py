"""Reading matrices: every cell checked against columns, types, policies and goals, all problems told together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import get_args

from pyspark.sql import types as T

from crm_spark.config.decisions import DerivedSpec, InputSpec, MatrixConfig, MatrixFiles
from crm_spark.config.policies import Goal, Policy
from crm_spark.config.settings import Settings
from crm_spark.config.sheet import SheetRow
from crm_spark.config.sources import extension_fields
from crm_spark.decisions.compile import size_problem
from crm_spark.decisions.inputs import decision_columns
from crm_spark.decisions.outputs import CANDIDATES, CLOSED, PROPOSING, read_outputs
from crm_spark.decisions.overlap import told_contradictions
from crm_spark.decisions.table import COMMENT, DEFAULT, PLACEHOLDER, RULE, WHY, Matrix, MatrixSet, Rule, kind_of, scale_of
from crm_spark.decisions.unary import Anything, CellError, Test, parse_cell, points_of
from crm_spark.errors import ConfigError, did_you_mean
from crm_spark.tables.mart import CUSTOMER_VIEW


def matrices_of(settings: Settings) -> MatrixSet:
    """The checked matrices of a run's configuration; raises as `check_matrices`, before any data is read."""
    return check_matrices(settings.matrices, input_columns(settings), _grades(settings))


def input_columns(settings: Settings) -> dict[str, T.DataType]:
    """The declared decision input: what matrices and their derived columns may read, with the types."""
    return decision_columns(CUSTOMER_VIEW.with_fields(extension_fields(settings.source)), *input_names(settings))


def input_names(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Models and groups that matrices may name: also those a source leaves out, whose rules are skipped and told."""
    models = {*settings.models, *_stems(settings, "models")}
    segmentations = sorted({*settings.segmentations, *_stems(settings, "segments")})
    classes = (f"{name.removesuffix('_group')}_class" for name in segmentations)
    return tuple(sorted(models)), (*segmentations, *classes, *sorted(_stems(settings, "segments/rules")))


def check_matrices(config: MatrixConfig, columns: Mapping[str, T.DataType], grades: Mapping[str, Sequence[str]]) -> MatrixSet:
    """The matrices as values; `columns` is the declared decision input, `grades` what its grade columns may hold.

    ConfigError holds every problem of every file: unreadable files, malformed cells, unknown columns, grades and policies, wrong
    types, each with file, row and column. No data and no Spark session is needed.
    """
    problems = [*config.problems]
    matrices = tuple(_Reader(files, columns, grades, config.policies, problems).matrix() for files in config.matrices)
    if not problems:
        problems += [*_set_problems(matrices), *filter(None, map(size_problem, matrices)), *chain(*map(told_contradictions, matrices))]
    if problems:
        raise ConfigError(problems)
    return MatrixSet(matrices, config.policies, config.settings)


def check_matrix(files: MatrixFiles, columns: Mapping[str, T.DataType]) -> Matrix:
    """One table by itself, without policies and grades; ConfigError as `check_matrices`."""
    problems: list[str] = []
    matrix = _Reader(files, columns, {}, {}, problems).matrix()
    if problems:
        raise ConfigError(problems)
    return matrix


def _grades(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Grades by column; those of a model that the source leaves out are not known."""
    return {"value_grade": tuple(settings.value.grades), **{f"{name}_grade": m.grade_names for name, m in settings.models.items()}}


def _stems(settings: Settings, folder: str) -> list[str]:
    return [path.stem for path in (settings.conf_dir / folder).glob("*.yml")]


def _set_problems(matrices: tuple[Matrix, ...]) -> list[str]:
    """What only shows when all matrices are seen together."""
    problems: list[str] = []
    deciders = [m.name for m in matrices if m.output("goals")]
    if len(deciders) != 1:
        problems.append(f"exactly one matrix (with an output of type goals) decides the priority, found: {', '.join(deciders) or 'none'}")
    for goal in get_args(Goal):
        retrievals = [m.name for m in matrices if m.goal == goal and m.output("offer_mode")]
        problems += [f"several retrieval matrices decide the goal {goal}: {', '.join(retrievals)}"] if len(retrievals) > 1 else []
    treating = [m.name for m in matrices if m.output("tier") or m.output("families")]
    problems += [f"several matrices decide the treatment: {', '.join(treating)}"] if len(treating) > 1 else []
    meanings: dict[str, tuple[str, DerivedSpec]] = {}
    for matrix in matrices:
        for name, spec in matrix.derived.items():
            first, meaning = meanings.setdefault(name, (matrix.name, spec))
            problems += [f"derived column '{name}' means different things in matrices {first} and {matrix.name}"] if meaning != spec else []
    return problems


@dataclass(frozen=True)
class _Reader:
    """Turns one matrix's files into a Matrix; what is wrong goes to `problems`."""

    files: MatrixFiles
    columns: Mapping[str, T.DataType]
    grades: Mapping[str, Sequence[str]]
    policies: Mapping[str, Policy]
    problems: list[str]

    def matrix(self) -> Matrix:
        spec, sheet = self.files.spec, self.files.sheet
        self._check_columns()
        self.problems.extend(sheet.header_problems((RULE, *spec.inputs, *spec.outputs), (WHY, COMMENT)))
        is_whole = all(c in sheet.header for c in (RULE, *spec.inputs, *spec.outputs))
        rules = tuple(self._rule(row) for row in sheet.rows) if is_whole else ()
        self._check_names()
        inputs = {column: self._input(column).type for column in spec.inputs}
        files, default = self.files, self._default()
        return Matrix(
            files.name, spec.goal, spec.hit_policy, inputs, spec.outputs, spec.derived, rules, default, files.version, files.path,
            spec.output_values, spec.aggregation, {c: known for c in spec.inputs if (known := self._domain(c))},
            {c: scale for c in spec.inputs if (scale := scale_of(self.columns.get(c))) is not None},
        )  # fmt: skip

    def _input(self, column: str) -> InputSpec:
        spec = self.files.spec.inputs[column]
        return spec if isinstance(spec, InputSpec) else InputSpec(spec)

    def _allowed(self, column: str) -> tuple[str, ...]:
        return self._input(column).allowed or tuple(self.grades.get(column, ()))

    def _domain(self, column: str) -> tuple[str, ...]:
        """What a customer can have there: any grade, also where cells may name only some."""
        return tuple(self.grades.get(column, ())) or self._input(column).allowed

    def _rule(self, row: SheetRow) -> Rule:
        name = row.cells[RULE]
        tests = {c: t for c in self.files.spec.inputs if not isinstance(t := self._test(row, c), Anything)}
        outputs = self._outputs({c: row.cells[c] for c in self.files.spec.outputs}, row)
        why = row.cells.get(WHY, "")
        self._check_why(why, self.files.sheet.place(row, WHY, name))
        return Rule(name, tests, {**outputs, WHY: why or f"{self.files.name}: {name}"})

    def _test(self, row: SheetRow, column: str) -> Test:
        spec = self._input(column)
        where = self.files.sheet.place(row, column, row.cells[RULE])
        try:
            test = parse_cell(row.cells[column], spec.type)
        except CellError as error:
            self.problems.append(f"{where}: {error}")
            return Anything()
        allowed = self._allowed(column)
        unknown = sorted({str(p) for p in points_of(test)} - set(allowed)) if allowed else []
        self.problems.extend(f"{where}: '{v}' is not an allowed value{did_you_mean(v, allowed)}" for v in unknown)
        return test

    def _default(self) -> Rule | None:
        spec, given = self.files.spec, self.files.spec.default
        place = f"{self.files.path}: default"
        unknown = [c for c in given if c not in (*spec.outputs, WHY)]
        self.problems.extend(f"{place}.{c}: unknown output{did_you_mean(c, spec.outputs)}" for c in unknown)
        is_needed = any(kind in ("goals", "offer_mode") for kind in spec.outputs.values())
        if not given and not is_needed:
            return None
        outputs, told = read_outputs({c: given.get(c, "") for c in spec.outputs}, spec.outputs, spec.goal, self.policies)
        self.problems.extend(f"{place}.{column}: {problem}" for column, problem in told)
        self._check_why(given.get(WHY, ""), f"{place}.{WHY}")
        return Rule(DEFAULT, {}, {**outputs, **({WHY: given[WHY]} if given.get(WHY) else {})})

    def _outputs(self, cells: Mapping[str, str], row: SheetRow) -> dict[str, str]:
        spec = self.files.spec
        outputs, told = read_outputs(cells, spec.outputs, spec.goal, self.policies)
        self.problems.extend(f"{self.files.sheet.place(row, column, row.cells[RULE])}: {problem}" for column, problem in told)
        for column in (c for c, kind in spec.outputs.items() if kind == "score"):
            self._check_score(outputs.get(column, ""), self.files.sheet.place(row, column, row.cells[RULE]))
        return outputs

    def _check_columns(self) -> None:
        spec, place = self.files.spec, self.files.path
        reserved = {RULE, WHY, COMMENT, CANDIDATES, CLOSED} & {*spec.inputs, *spec.outputs}
        self.problems.extend(f"{place}: '{c}' cannot be the name of an input or output" for c in sorted(reserved))
        both = sorted(set(spec.inputs) & set(spec.outputs))
        self.problems.extend(f"{place}: '{c}' is both an input and an output" for c in both)
        self.problems.extend(f"{place}: derived.{c}: a column of this name is there already" for c in spec.derived if c in self.columns)
        for column in spec.inputs:
            self._check_column(column)
        if spec.goal is None and {*PROPOSING, "offer_mode"} & set(spec.outputs.values()):
            self.problems.append(f"{place}: goal: is missing; a matrix that gives policies or an offer mode serves one goal")
        doubled = sorted({k for k in spec.outputs.values() if k != "text" and list(spec.outputs.values()).count(k) > 1})
        self.problems.extend(f"{place}: outputs: two columns of type {k}" for k in doubled)

    def _check_column(self, column: str) -> None:
        spec, wanted = self.files.spec, self._input(column).type
        found = spec.derived[column].type if column in spec.derived else kind_of(self.columns.get(column))
        where = f"{self.files.path}: inputs.{column}"
        if column not in spec.derived and column not in self.columns:
            self.problems.append(f"{where}: unknown column{did_you_mean(column, (*self.columns, *spec.derived))}")
        elif found != wanted:
            self.problems.append(f"{where}: declared {wanted}, but the column is {found or self.columns[column].simpleString()}")
        grades = self.grades.get(column, ())
        strange = [v for v in self._input(column).allowed if grades and v not in grades]
        self.problems.extend(f"{where}.allowed: '{v}' is no grade of that column{did_you_mean(v, grades)}" for v in strange)

    def _check_names(self) -> None:
        sheet, seen = self.files.sheet, set[str]()
        for row in sheet.rows if RULE in sheet.header else ():
            name = row.cells[RULE]
            if not name or name == DEFAULT or name in seen:
                told = f"'{name}' is a name of its own" if name == DEFAULT else f"'{name}' stands twice" if name else "is empty"
                self.problems.append(f"{sheet.place(row, RULE)}: {told}; each rule needs its own name")
            seen.add(name)
        if not sheet.rows:
            self.problems.append(f"{sheet.path}: has no rule")

    def _check_score(self, score: str, place: str) -> None:
        numbers = {c for c, kind in self.columns.items() if kind_of(kind) == "number"}
        known = numbers | {c for c, spec in self.files.spec.derived.items() if spec.type == "number"}
        unknown = [c for c in PLACEHOLDER.findall(score) if c not in known]
        self.problems.extend(f"{place}: '{{{c}}}' is no column with a number{did_you_mean(c, known)}" for c in unknown)

    def _check_why(self, why: str, place: str) -> None:
        known = {c for c, kind in self.columns.items() if kind_of(kind)} | set(self.files.spec.derived)
        unknown = [c for c in PLACEHOLDER.findall(why) if c not in known]
        self.problems.extend(f"{place}: unknown column '{{{c}}}'{did_you_mean(c, known)}" for c in unknown)
        if set("{}") & set(PLACEHOLDER.sub("", why)):
            self.problems.append(f"{place}: a brace without its partner; a placeholder is {{column}}")
