"""docs/tables.md from the contracts."""

from __future__ import annotations

from itertools import groupby

from crm_spark.tables.contract import Field, Table
from crm_spark.tables.declared import TABLES

INTRO = """# Tables

Made from the contracts in `crm_spark/tables/` by `make docs`; do not edit. Business tables are partitioned by city and month.
A reader takes the versions that `ops.publication` names (see [data engineers' notes](../README.md)).
"""


def tables_markdown() -> str:
    """All declared tables, layer by layer."""
    parts = [INTRO]
    for schema, tables in groupby(TABLES.values(), key=lambda t: t.schema):
        parts.append(f"## {schema}\n")
        parts.extend(_table(t) for t in tables)
    return "\n".join(parts)


def _table(table: Table) -> str:
    checks = "".join(f"\nCheck `{name}`: `{check}`\n" for name, check in table.checks.items())
    header = f"### {table.full_name}\n\n{table.grain}\n\nKey: {_names(table.key)}. "
    header += f"Partitioned by: {_names(table.partitioned_by) or 'nothing'}.\n{checks}"
    rows = "\n".join(_row(list(alike)) for _, alike in groupby(table.fields, key=lambda f: f.pattern or f.name))
    return f"{header}\n| column | type | what | at the door |\n|---|---|---|---|\n{rows}\n"


def _row(alike: list[Field]) -> str:
    """The line of a column, or of all columns of a pattern."""
    field = alike[0]
    name = f"`{field.pattern}` ({len(alike)} columns)" if field.pattern and len(alike) > 1 else f"`{field.name}`"
    door = [f"pseudonym ({field.pseudonym})"] * bool(field.pseudonym) + [f"`{field.valid}`"] * bool(field.valid)
    cells = (name, _type(field), field.comment, ", ".join(door))
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _type(field: Field) -> str:
    return field.sql_type.replace("<", "&lt;").replace(">", "&gt;")


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{n}`" for n in names)
