"""What changed from one matrix set to another, as a planner would say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from difflib import SequenceMatcher

import yaml

from crm_spark.config.choosing import Choosing
from crm_spark.config.decisions import Condition, DecisionSettings, MatrixConfig, MatrixFiles
from crm_spark.config.grades import GRADES
from crm_spark.config.sheet import SheetRow
from crm_spark.decisions.table import COMMENT, RULE, WHY

Cells = Mapping[str, str]


def differences(before: MatrixConfig, after: MatrixConfig) -> list[str]:
    """A sentence for each change: matrices, their rules and cells, policies, what all share, how is chosen, where grades begin. Empty only for the same sets."""
    shared = [*_shared(before.settings, after.settings), *_conditions(before.settings.conditions, after.settings.conditions)]
    graded = _grades(before.files.get(GRADES), after.files.get(GRADES))
    told = [*_matrices(before, after), *_policies(before, after), *shared, *_choosing(before.choosing, after.choosing), *graded]
    if not told and before.version != after.version:
        return ["nothing that decides: comments, blanks or line ends alone"]
    return told


def _matrices(before: MatrixConfig, after: MatrixConfig) -> Iterator[str]:
    old, new = ({m.name: m for m in config.matrices} for config in (before, after))
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"{name}: the matrix is gone"
        elif name not in old:
            yield f"{name}: a new matrix with {len(new[name].sheet.rows)} rules: {new[name].spec.question}"
        else:
            yield from _values(name, asdict(old[name].spec), asdict(new[name].spec))
            yield from _rules(old[name], new[name])


def _rules(before: MatrixFiles, after: MatrixFiles) -> Iterator[str]:
    old, new = (_by_rule(files) for files in (before, after))
    yield from (f"{before.name}: rule '{rule}' is gone; it said: {_said(before, cells)}" for rule, cells in old.items() if rule not in new)
    previous = ""
    for rule, cells in new.items():
        if rule not in old:
            place = f"after '{previous}'" if previous else "on top"
            yield f"{after.name}: new rule '{rule}' {place}: {_said(after, cells)}"
        else:
            yield from _cells(after, rule, old[rule], cells)
        previous = rule
    yield from _moved(after.name, [r for r in old if r in new], [r for r in new if r in old])


def _by_rule(files: MatrixFiles) -> dict[str, Cells]:
    return {_name(row): row.cells for row in files.sheet.rows}


def _name(row: SheetRow) -> str:
    return row.cells.get(RULE, f"line {row.line}")


def _said(files: MatrixFiles, cells: Cells) -> str:
    """A rule as a sentence: what must hold, and what it gives."""
    spec = files.spec
    asked = " and ".join(f"{c} {cells[c]}" for c in spec.inputs if _shown(cells.get(c)) != "-")
    given = ", ".join(f"{c} {cells[c]}" for c in spec.outputs if cells.get(c))
    return f"{f'if {asked}' if asked else 'for everybody'}: {given or 'nothing'}"


def _cells(files: MatrixFiles, rule: str, before: Cells, after: Cells) -> Iterator[str]:
    verbs = {**dict.fromkeys(files.spec.inputs, "asks"), **dict.fromkeys(files.spec.outputs, "gives"), WHY: "says", COMMENT: "notes"}
    for column in dict.fromkeys((*before, *after)):
        old, new = _shown(before.get(column)), _shown(after.get(column))
        if old != new:
            verb = verbs.get(column, "has")
            yield f"{files.name}: rule '{rule}' {verb} {column} {new}, before {old}"


def _moved(matrix: str, before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Rules that changed their place among those that stayed."""
    if before == after:
        return
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    kept = {rule for block in blocks for rule in before[block.a : block.a + block.size]}
    for place, rule in enumerate(after):
        if rule not in kept:
            yield f"{matrix}: rule '{rule}' now stands {f'after {after[place - 1]!r}' if place else 'on top'}"


def _policies(before: MatrixConfig, after: MatrixConfig) -> Iterator[str]:
    old, new = before.policies, after.policies
    yield from (f"policies: {policy} is gone ({old[policy].name})" for policy in old if policy not in new)
    yield from (f"policies: {policy} is new ({new[policy].name})" for policy in new if policy not in old)
    for policy in (p for p in new if p in old):
        yield from _values(f"policies: {policy}", asdict(old[policy]), asdict(new[policy]))


def _shared(before: DecisionSettings, after: DecisionSettings) -> Iterator[str]:
    old, new = ({part: value for part, value in asdict(one).items() if part != "conditions"} for one in (before, after))
    yield from _values("decisions", old, new)


def _conditions(before: Sequence[Condition], after: Sequence[Condition]) -> Iterator[str]:
    """Of those that differ, the ones of a reason are taken in their order for what became of one another."""
    gone, come = ([one for one in ones if one not in others] for ones, others in ((before, after), (after, before)))
    for old in gone:
        new = next((one for one in come if one.reason == old.reason), None)
        if new:
            come.remove(new)
            yield from _values(f"decisions: {_condition(old)}", asdict(old), asdict(new))
        else:
            yield f"decisions: {_condition(old)} is gone; it said: requires {old.requires}"
    yield from (f"decisions: {_condition(new)} is new: requires {new.requires}" for new in come)
    if before != after and sorted(map(repr, before)) == sorted(map(repr, after)):
        yield "decisions: the conditions stand in another order"


def _condition(one: Condition) -> str:
    return f"condition '{one.reason}' for {', '.join((*one.policies, *one.goals, *one.services)) or 'nothing'}"


def _choosing(before: Choosing | None, after: Choosing | None) -> Iterator[str]:
    if before and after:
        old, new = _limits(before), _limits(after)
        stayed = [{name: limits[name] for name in limits if name in old and name in new} for limits in (old, new)]
        yield from _values("choosing", {**_named(before), "limits": stayed[0]}, {**_named(after), "limits": stayed[1]})
        yield from (f"choosing: limit '{name}' is gone; it said: {_limit_said(limit)}" for name, limit in old.items() if name not in new)
        yield from (f"choosing: limit '{name}' is new: {_limit_said(limit)}" for name, limit in new.items() if name not in old)
    elif after:
        yield "choosing: is part of the set now"
    elif before:
        yield "choosing: is gone"


def _grades(before: str | None, after: str | None) -> Iterator[str]:
    if before and after:
        yield from _values("grades", yaml.safe_load(before), yaml.safe_load(after))
    elif after:
        yield "grades: where they begin is part of the set now"
    elif before:
        yield "grades: where they begin is no longer part of the set"


def _named(choosing: Choosing) -> dict[str, object]:
    """Its values by path, caps by what they count."""
    values = asdict(choosing)
    caps = {f"{cap.channel or 'all channels'} in {cap.days} days": f"at most {cap.most}" for cap in choosing.contact.caps}
    return {**values, "contact": {**values["contact"], "caps": caps}}


def _limits(choosing: Choosing) -> dict[str, Mapping[str, object]]:
    return {limit.name: {part: value for part, value in asdict(limit).items() if part != "name"} for limit in choosing.limits}


def _limit_said(limit: Mapping[str, object]) -> str:
    return ", ".join(f"{part} {text}" for part, text in _flat(limit).items() if text and text != "0")


def _values(place: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    """Fields, those of mappings by their path."""
    old, new = _flat(before), _flat(after)
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield f"{place}: {key} is {_shown(new.get(key))}, before {_shown(old.get(key))}"


def _flat(values: Mapping[str, object], path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = ", ".join(map(_text, value)) if isinstance(value, tuple) else _text(value)
    return found


def _text(value: object) -> str:
    return "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _shown(value: str | None) -> str:
    return value or "-"
