"""What the MLflow run of a trained model shows a reviewer: datasets, parameters, measures, pictures, tables, the model card; and the model's signature."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.spark_dataset_source import SparkDatasetSource
from mlflow.models import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Map, Object, Property, Schema, TensorSpec
from pyspark.sql import types as T

from crm_spark.learning.card import InputVersions, model_card, versions_told
from crm_spark.learning.groups import MONTH, as_csv
from crm_spark.learning.plots import figures
from crm_spark.learning.single import telling
from crm_spark.learning.trainer import Trained

PICTURE_DPI = 110
_NOT_IN_A_METRIC = re.compile(r"[^\w. :/-]")  # of its name


def log_trained(trained: Trained, versions: InputVersions, failures: Sequence[str]) -> None:
    """Into the run that is open: everything but the model itself. No artifact holds a customer."""
    mlflow.log_params(_parameters(trained, versions))
    _log_inputs(versions)
    mlflow.log_metrics(dict(trained.metrics) | _by_month(trained) | _by_kind(trained) | _validations(trained))
    _log_artifacts(trained, versions, failures)


def signature(trained: Trained) -> ModelSignature:
    """Raw view columns in, prediction out. A decimal has no place in a signature; features are doubles anyway."""
    inputs: list[ColSpec | TensorSpec] = [ColSpec(_signature_type(f.dataType), f.name, required=False) for f in trained.prepared.inputs.fields]
    return ModelSignature(Schema(inputs), Schema([ColSpec(DataType.double, "prediction")]))


def _log_inputs(versions: InputVersions) -> None:
    """The tables it learnt from, among the run's datasets; the parameters tell the versions month by month."""
    for table, months in versions.items():
        if read := [version for found in months.values() for version in found]:
            mlflow.log_input(_dataset(table, read), context="training")


def _dataset(table: str, read: Sequence[int | str]) -> MetaDataset:
    """By the newest version of a Delta table; by what is told of other files."""
    numbers = [version for version in read if isinstance(version, int)]
    if not numbers:
        return MetaDataset(SparkDatasetSource(path=table), name=table, digest=hashlib.sha256(str(read[-1]).encode()).hexdigest()[:8])  # type: ignore[abstract]
    source = DeltaDatasetSource(path=table, delta_table_version=max(numbers))
    return MetaDataset(source, name=table, digest=f"version {max(numbers)}")  # type: ignore[abstract]


def _parameters(trained: Trained, versions: InputVersions) -> dict[str, object]:
    spec, prepared, w = trained.spec, trained.prepared, trained.spec.windows
    return {
        "question": spec.question,
        "population": " ".join(spec.population.split()),
        "label": spec.label.name,
        "window": spec.window_id,
        "windows": "delivered with the label" if spec.label.outcome else f"observation {w.observation}, gap {w.gap}, performance {w.performance} months",
        "split": prepared.split.reason,
        "algorithm": trained.chosen.algorithm,
        **trained.chosen.point,
        "seed": spec.seed,
        "refit": spec.refit,
        "calibration": trained.calibration.kind,
        "features": len(prepared.features.names),
        **{f"gate_{bar}": value for bar, value in asdict(spec.gate).items() if bar != "stability"},
        **{f"gate_stability_{bar}": value for bar, value in (asdict(spec.gate.stability) | {"by": ", ".join(spec.gate.stability.watched(spec.groups))}).items()},
        **{f"{table}_versions": versions_told(months) for table, months in versions.items()},
    }


def _validations(trained: Trained) -> dict[str, float]:
    """Per candidate, numbered as they were fitted, its AUC on validation."""
    found = [(f"validation_auc_{i}_{c.algorithm}", c.validation) for i, c in enumerate(trained.candidates, 1)]
    return {name: value for name, value in found if value is not None}


def _by_month(trained: Trained) -> dict[str, float]:
    """Customers and share with the label per as-of month, of those who are learnt from and of the held-out; the AUC on these."""
    found: dict[str, float] = {}
    for (month, held), count in trained.prepared.counts.items():
        whose = "_hold_out" if held else ""
        found |= {f"customers_{month}{whose}": float(count.customers), f"base_rate_{month}{whose}": count.rate}
    return found | {f"auc_{g.level}_hold_out": g.auc for g in trained.groups if g.by == MONTH and g.auc is not None}


def _by_kind(trained: Trained) -> dict[str, float]:
    """The worst that groups of one kind are off, without those too small to judge: lowest AUC, widest distance of told and found, lowest over highest
    share in the top tenth."""
    found: dict[str, float] = {}
    for kind in trained.spec.groups:
        mine = [g for g in trained.groups if g.by == kind and g.auc is not None and not g.is_small(trained.spec.gate.stability.least)]
        if mine:
            shares, by = [g.chosen for g in mine], f"by_{_NOT_IN_A_METRIC.sub('_', kind)}"
            found |= {f"{by}_lowest_auc": min(g.auc for g in mine if g.auc is not None), f"{by}_widest_gap": max(abs(g.told - g.rate) for g in mine)}
            found |= {f"{by}_top_tenth_ratio": min(shares) / max(shares)} if max(shares) else {}
    return found


def _log_artifacts(trained: Trained, versions: InputVersions, failures: Sequence[str]) -> None:
    """Everything a reviewer reads, logged in one go."""
    pictures = {name: _png(figure) for name, figure in _figures(trained).items()}
    texts = {
        "model_card.html": model_card(trained, versions, failures, pictures),
        "features/importance.csv": _csv("share", trained.importances),
        "features/alone.csv": _csv("auc", telling(trained.alone, 0)),
        "features/used.json": json.dumps({**trained.prepared.features.categorical, **trained.prepared.features.numeric}, indent=1),
        "features/left_out.json": json.dumps(dict(sorted(trained.prepared.features.dropped.items())), indent=1),
        "groups.csv": as_csv(trained.groups),
        "spec.json": json.dumps(asdict(trained.spec), indent=1, ensure_ascii=False),
        **{f"rules/{algorithm}.txt": rules for algorithm, rules in trained.rules.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        for file, content in {**{n: t.encode() for n, t in texts.items()}, **{f"plots/{n}": p for n, p in pictures.items()}}.items():
            path = Path(folder) / file
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        mlflow.log_artifacts(folder)


def _csv(measure: str, features: Mapping[str, float]) -> str:
    return pd.DataFrame({"feature": list(features), measure: list(features.values())}).to_csv(index=False, float_format="%.6f")


def _figures(trained: Trained) -> dict[str, Figure]:
    return figures(trained.spec.name, trained.hold_out, trained.importances, trained.groups, trained.spec.gate.stability.least)


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of a name that no font here can write, the picture has a box
        figure.savefig(stream, format="png", dpi=PICTURE_DPI)
    return stream.getvalue()


def _signature_type(kind: T.DataType) -> DataType | Map | Array | Object:
    """MLflow's name of a column's type; it infers none for a map of which it sees no row."""
    if isinstance(kind, T.MapType):
        return Map(_signature_type(kind.valueType))
    if isinstance(kind, T.ArrayType):
        return Array(_signature_type(kind.elementType))
    if isinstance(kind, T.StructType):
        return Object([Property(f.name, _signature_type(f.dataType), required=False) for f in kind.fields])
    return _SIGNATURE_TYPES.get(type(kind), DataType.double)


_SIGNATURE_TYPES: dict[type[T.DataType], DataType] = {
    T.StringType: DataType.string, T.BooleanType: DataType.boolean, T.IntegerType: DataType.integer, T.LongType: DataType.long,
    T.FloatType: DataType.float, T.DateType: DataType.datetime, T.TimestampType: DataType.datetime, T.TimestampNTZType: DataType.datetime,
}  # fmt: skip
