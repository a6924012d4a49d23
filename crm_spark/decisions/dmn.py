"""Decision tables of DMN XML (OMG DMN 1.2 to 1.5): imported as a planner's CSV and YAML, and written from them.

A cell is a unary test of S-FEEL, an output a literal. What only a FEEL interpreter could compute is refused, naming rule and column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

from crm_spark.config.decisions import InputSpec, Kind, MatrixFiles, OutputKind
from crm_spark.decisions.exchange import Exchanged
from crm_spark.decisions.table import COMMENT, RULE, WHY
from crm_spark.decisions.unary import CellError, Equal, OneOf, Value, parse_cell
from crm_spark.errors import ConfigError, did_you_mean

Element = ElementTree.Element
NAMESPACE = "https://www.omg.org/spec/DMN/20230324/MODEL/"
_KINDS: dict[str, Kind] = {
    "number": "number", "integer": "number", "long": "number", "double": "number",
    "string": "string", "boolean": "boolean", "date": "date",
}  # fmt: skip
_POLICIES = {"UNIQUE", "ANY", "FIRST", "PRIORITY", "RULE ORDER", "OUTPUT ORDER", "COLLECT"}


def read_dmn(path: Path) -> tuple[Exchanged, ...]:
    """Every decision table of a file; ConfigError names what cannot be taken."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ConfigError(f"{path}: not XML: {error}") from None
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    types = {definition.get("name", ""): definition for definition in _all(root, "itemDefinition")}
    decisions = [(decision, table) for decision in _all(root, "decision") for table in _all(decision, "decisionTable")]
    if not decisions:
        raise ConfigError(f"{path}: holds no decision table")
    return tuple(_Table(path, types, decision, table).exchanged() for decision, table in decisions)


@dataclass(frozen=True)
class _Table:
    """One decision table on its way in."""

    path: Path
    types: Mapping[str, Element]
    decision: Element
    table: Element

    def exchanged(self) -> Exchanged:
        inputs = {_text(_one(i, "inputExpression")): i for i in _all(self.table, "input")}
        outputs = {o.get("name") or self.decision.get("name") or "output": o for o in _all(self.table, "output")}
        kinds = {name: self._input_kind(name, element) for name, element in inputs.items()}
        output_kinds = {name: self._output_kind(element) for name, element in outputs.items()}
        rules = [self._rule(number, rule, kinds, output_kinds) for number, rule in enumerate(_all(self.table, "rule"), 1)]
        ranked = {name: list(self._listed(element, "outputValues")) for name, element in outputs.items()}
        default = {name: self._literal(text, name) for name, e in outputs.items() if (text := _text(_one(e, "defaultOutputEntry")))}
        policy = self.table.get("hitPolicy", "UNIQUE")
        if policy not in _POLICIES:
            raise self._problem(f"hitPolicy {policy}{did_you_mean(policy, _POLICIES)}")
        spec: dict[str, object] = {
            "question": self.decision.get("label") or self.decision.get("name") or self.path.stem,
            "hit_policy": policy,
            "inputs": {name: self._input(kinds[name], element) for name, element in inputs.items()},
            "outputs": {name: "number" if kind == "number" else "text" for name, kind in output_kinds.items()},
            "output_values": {name: values for name, values in ranked.items() if values},
            "default": default,
            **({"aggregation": self.table.get("aggregation")} if self.table.get("aggregation") else {}),
        }
        name = re.sub(r"\W+", "_", self.decision.get("name") or self.path.stem).strip("_").lower()
        return Exchanged(name, {key: value for key, value in spec.items() if value}, (RULE, *kinds, *output_kinds, COMMENT), tuple(rules))

    def _rule(self, number: int, rule: Element, inputs: Mapping[str, Kind], outputs: Mapping[str, Kind]) -> tuple[str, ...]:
        tests = [self._test(_text(entry), column) for entry, column in zip(_all(rule, "inputEntry"), inputs, strict=True)]
        given = [self._literal(_text(entry), f"rule {number}, {column}") for entry, column in zip(_all(rule, "outputEntry"), outputs, strict=True)]
        return (f"rule_{number}", *tests, *given, _text(_one(rule, "description")))

    def _test(self, text: str, column: str) -> str:
        if text.startswith("?"):
            raise self._problem(f"{column}: '{text}' is an expression; a unary test is wanted")
        return re.sub(r'\\(["\\])', lambda m: '""' if m[1] == '"' else "\\", text) or "-"

    def _literal(self, text: str, where: str) -> str:
        """What an output says: a literal text, number or truth; nothing for null."""
        for kind in get_args(Kind):
            if (kind == "string") != text.startswith('"'):
                continue
            try:
                test = parse_cell(self._test(text, where), kind)
            except CellError:
                continue
            if isinstance(test, Equal):
                return "" if test.value is None else _plain(test.value)
        if text in ("", "-", "null"):
            return ""
        raise self._problem(f"{where}: '{text}' is an expression; a literal is wanted")

    def _input(self, kind: Kind, element: Element) -> object:
        allowed = list(self._listed(element, "inputValues")) if kind == "string" else []
        return {"type": kind, "allowed": allowed} if allowed else kind

    def _listed(self, element: Element, tag: str) -> Iterator[str]:
        text = _text(_one(element, tag))
        if text:
            test = parse_cell(self._test(text, tag), "string" if text.startswith('"') else "number")
            yield from (_plain(t.value) for t in (test.tests if isinstance(test, OneOf) else (test,)) if isinstance(t, Equal) and t.value is not None)

    def _input_kind(self, name: str, element: Element) -> Kind:
        expression = _one(element, "inputExpression")
        return self._kind(expression.get("typeRef") if expression is not None else None, f"input {name}")

    def _output_kind(self, element: Element) -> Kind:
        told = element.get("typeRef") or self.table.get("typeRef") or _variable_type(self.decision)
        return self._kind(told, "an output") if told else "string"

    def _kind(self, reference: str | None, where: str) -> Kind:
        """A type of FEEL, or what a definition of the file says it is."""
        found = (reference or "").split(":")[-1]
        if found in self.types:
            return self._kind(_text(_one(self.types[found], "typeRef")) or "string", where)
        if found not in _KINDS:
            raise self._problem(f"{where} is of type {reference or 'nothing'}; one of {', '.join(_KINDS)} is wanted")
        return _KINDS[found]

    def _problem(self, told: str) -> ConfigError:
        return ConfigError(f"{self.path}, decision {self.decision.get('name')}: {told}")


def dmn_of(files: MatrixFiles) -> str:
    """The table as DMN XML; an output of our own kinds (a policy, goals) is a string there."""
    spec, sheet = files.spec, files.sheet
    ElementTree.register_namespace("", NAMESPACE)
    root = _element(None, "definitions", id="definitions", name=files.name, namespace="urn:crm_spark:matrices")
    decision = _element(root, "decision", id="decision", name=files.name, label=spec.question)
    told = {"hitPolicy": spec.hit_policy, **({"aggregation": spec.aggregation} if spec.aggregation != "LIST" else {})}
    table = _element(decision, "decisionTable", id="table", **told)
    for number, (column, declared) in enumerate(spec.inputs.items(), 1):
        wanted = declared if isinstance(declared, InputSpec) else InputSpec(declared)
        element = _element(table, "input", id=f"input_{number}")
        _written(_element(element, "inputExpression", id=f"input_{number}_expression", typeRef=wanted.type), column)
        if wanted.allowed:
            _written(_element(element, "inputValues"), ", ".join(map(_feel_text, wanted.allowed)))
    for number, (column, kind) in enumerate(spec.outputs.items(), 1):
        element = _element(table, "output", id=f"output_{number}", name=column, typeRef="number" if kind == "number" else "string")
        if column in spec.output_values:
            _written(_element(element, "outputValues"), ", ".join(_feel(v, kind) for v in spec.output_values[column]))
        if spec.default.get(column):
            _written(_element(element, "defaultOutputEntry"), _feel(spec.default[column], kind))
    for number, row in enumerate(sheet.rows, 1):
        element = _element(table, "rule", id=f"rule_{number}")
        _element(element, "description").text = row.cells.get(COMMENT) or row.cells.get(WHY) or row.cells[RULE]
        for column, declared in spec.inputs.items():
            kind_of_input = declared.type if isinstance(declared, InputSpec) else declared
            _written(_element(element, "inputEntry"), feel_test(row.cells[column], kind_of_input))
        for column, kind in spec.outputs.items():
            _written(_element(element, "outputEntry"), _feel(row.cells[column], kind))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def feel_test(cell: str, kind: Kind) -> str:
    """A planner's cell in FEEL: bare texts quoted, days as `date("...")`, `!= x` as `not(x)`; all else as it stands."""
    if cell.strip() in ("", "-"):
        return "-"
    pieces = re.findall(r'date\s*\(\s*"[^"]*"\s*\)|"(?:[^"]|"")*"|not\s*\(|\.\.|<=|>=|!=|[<>=,()\[\]]|(?:(?!\.\.)[^,()\[\]"<>=!])+|!', cell)
    written = "".join(_feel_piece(piece, kind) for piece in pieces)
    return re.sub(r'!=\s*("(?:[^"\\]|\\.)*"|date\("[^"]*"\)|[^,]+)', r"not(\1)", written)


def _feel_piece(piece: str, kind: Kind) -> str:
    if piece.startswith('"'):
        return _feel_text(piece[1:-1].replace('""', '"'))
    bare = piece.strip()
    if not re.search(r"\w", bare) or re.match(r"(not|date)\s*\(", bare) or bare.lower() == "null":
        return piece
    return _feel_text(bare) if kind == "string" else f'date("{bare}")' if kind == "date" else piece


def _feel(cell: str, kind: OutputKind) -> str:
    if not cell:
        return "null"
    return cell if kind == "number" else _feel_text(cell)


def _feel_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _all(element: Element, tag: str) -> list[Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == tag]


def _one(element: Element, tag: str) -> Element | None:
    return next(iter(_all(element, tag)), None)


def _text(element: Element | None) -> str:
    """The text of an entry, which stands in a `text` element or in it itself."""
    if element is None:
        return ""
    inner = _one(element, "text")
    return ((inner if inner is not None else element).text or "").strip()


def _variable_type(decision: Element) -> str | None:
    variable = _one(decision, "variable")
    return variable.get("typeRef") if variable is not None else None


def _element(parent: Element | None, tag: str, **attributes: str) -> Element:
    name = f"{{{NAMESPACE}}}{tag}"
    return Element(name, attributes) if parent is None else ElementTree.SubElement(parent, name, attributes)


def _written(element: Element, text: str) -> None:
    _element(element, "text").text = text
