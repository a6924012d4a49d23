"""The model registry, with `run_log` the one place that knows MLflow. Runs hold what a reviewer needs; aliases say which version scores."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import mlflow
import mlflow.spark
import pandas as pd
import pyspark
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession, is_remote

from crm_spark.config.models import MlflowConfig, load_experiment_settings
from crm_spark.errors import RefusedModelError
from crm_spark.learning.card import InputVersions, summary
from crm_spark.learning.rules import model_digest
from crm_spark.learning.run_log import PICTURE_DPI, log_trained, signature
from crm_spark.learning.trainer import Trained

CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"
_SHOWN = ("test_auc", "test_pr_auc", "test_lift_10", "test_ks", "test_calibration_error")
_REQUIREMENTS = [f"pyspark=={pyspark.__version__}"]  # given, or MLflow starts a second Spark to infer them
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model or version; no such alias
_CHAMPIONS = "champions"  # tag of a model: its champions one after the other, the present one last; the alias may be moved by anybody, in the browser too
_UNDONE = "rolled_back"  # ... and the version that the last promotion was away from, if that was a rollback
_MODEL_DATA = "sparkml"  # where MLflow's flavour keeps Spark's own files


@dataclass(frozen=True)
class Champion:
    """A version that scores."""

    name: str
    version: str
    pipeline: PipelineModel


@dataclass(frozen=True)
class Version:
    """A registered version as a reviewer sees it.

    `tags` hold its `digest`, its `gate` (passed, or what it missed), and of one that was promoted `promoted_by`, `promoted_at` (UTC),
    `promoted_why` and the `former_champion`. `measures` are of the hold-out.
    """

    model: str
    number: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """What a run shows that made no model: metrics by step (a chart over the steps), tables and pictures by file name."""

    name: str
    description: str
    tags: Mapping[str, str]
    parameters: Mapping[str, object]
    metrics: Mapping[int, Mapping[str, float]]
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, Figure]


class Registry:
    """Tracking and registry of one environment."""

    def __init__(self, config: MlflowConfig) -> None:
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        _make_folders(config)
        mlflow.set_tracking_uri(config.tracking_uri)
        registry = config.registry_uri or config.tracking_uri
        mlflow.set_registry_uri(registry)
        self._config = config
        self._client = MlflowClient(config.tracking_uri, registry)

    def champion_version(self, model: str) -> str | None:
        """The version that was promoted last; None without one, or if its alias was taken away. A moved alias promotes nothing."""
        return next(reversed(self.champions(model)), None)

    def champions(self, model: str) -> tuple[str, ...]:
        """The present champion last, before it those that it took over from, without any that was rolled back. Empty if the model was retired: if the
        alias was taken away. MLflow takes it away too when it deletes a version; that retires nothing."""
        found = self._registered(model)
        line = tuple(found.tags.get(_CHAMPIONS, "").split()) if found else ()
        if not found or not line or CHAMPION in found.aliases:
            return line
        return () if line[-1] in {str(v.version) for v in self._found(model)} else line

    def rolled_back(self, model: str) -> str | None:
        """The version that was champion before the last promotion, if that was a rollback."""
        found = self._registered(model)
        return found.tags.get(_UNDONE) if found else None

    def alias(self, model: str, alias: str) -> str | None:
        """The version under an alias; None without one."""
        found = self._registered(model)
        return str(found.aliases[alias]) if found and alias in found.aliases else None

    def champion(self, model: str) -> Champion | None:
        """The champion's pipeline, ready to score; None without one. RefusedModelError as of `scorer`."""
        version = self.champion_version(model)
        return self.scorer(model, version) if version else None

    def scorer(self, model: str, version: str) -> Champion:
        """A version, ready to score. RefusedModelError unless it is what was recorded of it, to the last threshold."""
        recorded = self._recorded(model, version)
        try:
            pipeline = self._loaded(f"models:/{self._name(model)}/{version}")
            digest = model_digest(pipeline)
        except Exception as error:  # damaged files fail in as many ways as there are files
            raise RefusedModelError(f"{model} version {version} cannot be loaded: {type(error).__name__}") from error
        if digest != recorded.tags["digest"]:
            raise RefusedModelError(f"{model} version {version} is not what was recorded: its digest is {digest[:12]}, not {recorded.tags['digest'][:12]}")
        return Champion(model, version, pipeline)

    def models(self) -> tuple[str, ...]:
        """Names of all registered models."""
        page = self._client.search_registered_models()
        found = [str(m.name) for m in page]
        while page.token:
            page = self._client.search_registered_models(page_token=page.token)
            found += [str(m.name) for m in page]
        return tuple(sorted(n.removeprefix(self._config.model_prefix) for n in found if n.startswith(self._config.model_prefix)))

    def versions(self, model: str) -> tuple[Version, ...]:
        """All versions of a model, newest first; none of a model that is not registered."""
        found = self._found(model) if self._registered(model) else []
        return tuple(self.version(model, str(v.version)) for v in sorted(found, key=lambda v: -int(v.version)))

    def promote(self, model: str, version: str, by: str, why: str, back: bool = False, month: str | None = None) -> None:
        """Make a version champion, and keep who did so, when, why, and which one it was before. It ends the challenge of an earlier version.

        The version tells its last promotion, the model all of them, a tag each. On the way `back` the champions after it are none any more. A version
        of a `month` stands behind champions that learnt from later ones: those score later months as before.
        """
        name, former, line = self._name(model), self.champion_version(model), list(self.champions(model))
        others = [v for v in line if v != version]
        later = self.learnt_later(model, others, month)
        place = line.index(version) if back else min((others.index(v) for v in later), default=len(others))
        line = [*others[:place], version, *([] if back else others[place:])]
        told = {"promoted_by": by, "promoted_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "promoted_why": why}
        for tag, value in (told | ({"former_champion": former} if former and former != version else {})).items():
            self._client.set_model_version_tag(name, version, tag, value)
        self._client.set_registered_model_tag(name, f"promotion {told['promoted_at']} of version {version}", f"by {by}: {why}")
        self._client.set_registered_model_tag(name, _CHAMPIONS, " ".join(line))
        if line[-1] != version:
            return
        self._client.set_registered_model_alias(name, CHAMPION, version)
        if back and former:
            self._client.set_registered_model_tag(name, _UNDONE, former)
        elif self.rolled_back(model):
            self._client.delete_registered_model_tag(name, _UNDONE)
        challenger, shadow = self.alias(model, CHALLENGER), self.alias(model, SHADOW)
        if challenger and int(challenger) <= int(version):
            self._client.delete_registered_model_alias(name, CHALLENGER)
        if shadow == version:
            self._client.delete_registered_model_alias(name, SHADOW)

    def learnt_later(self, model: str, versions: Sequence[str], month: str | None) -> list[str]:
        """Those of the versions that were trained in a month after `month`; none without a month."""
        there = {str(v.version) for v in self._found(model)} & {*versions} if month and versions else set()
        of = {version: self._client.get_model_version(self._name(model), version).tags.get("month", "") for version in there}
        return [version for version in versions if of.get(version, "") > (month or "")]

    def set_shadow(self, model: str, version: str) -> None:
        """The version that scores beside the champion, for comparison only."""
        self._client.set_registered_model_alias(self._name(model), SHADOW, version)

    def record(
        self,
        trained: Trained,
        spark: SparkSession,
        versions: InputVersions,
        failures: Sequence[str],
        tags: Mapping[str, str],
        texts: Mapping[str, str] | None = None,
    ) -> str:
        """Log the run, register the model and set its alias: champion if it passed the gate, else challenger. Returns the version.

        A new champion ends the challenge of an earlier version. Of the
        tags, `month` (up to which it has learnt) and `cities` are the version's too. No artifact holds a customer. `texts` are artifacts of the caller's own.
        """
        name, told = self._name(trained.spec.name), summary(trained, failures)
        with mlflow.start_run(experiment_id=self._experiment(), run_name=trained.spec.name, description=told) as run:
            mlflow.set_tags({**tags, "model": trained.spec.name, "gate": "missed" if failures else "passed"})
            log_trained(trained, versions, failures)
            for file, text in (texts or {}).items():
                mlflow.log_text(text, file)
            version = self._log_model(trained, name, run.info.run_id)
        self._client.update_model_version(name, version, told)
        self._client.update_registered_model(name, trained.spec.question)
        kept = {"digest": model_digest(trained.pipeline), "run_id": run.info.run_id, "gate": f"missed: {'; '.join(failures)}" if failures else "passed"}
        kept |= {tag: tags[tag] for tag in ("month", "cities") if tag in tags}
        kept |= {_digest_tag(file): _sha256(text) for file, text in (texts or {}).items()}
        for tag, value in kept.items():
            self._client.set_model_version_tag(name, version, tag, value)
        if failures:
            self._client.set_registered_model_alias(name, CHALLENGER, version)
        else:
            self.promote(trained.spec.name, version, "gate", "passed its gate when it was trained", month=tags.get("month"))
        return version

    def log_report(self, report: Report) -> str:
        """Log what is no model (a segmentation) as a run of the experiment `<experiment>-segments`. Returns the run's id."""
        with mlflow.start_run(experiment_id=self._experiment("-segments"), run_name=report.name, description=report.description) as run:
            mlflow.set_tags(dict(report.tags))
            mlflow.log_params(dict(report.parameters))
            for step, metrics in report.metrics.items():
                mlflow.log_metrics(dict(metrics), step=step)
            for file, table in report.tables.items():
                mlflow.log_table(table, file)
            for file, figure in report.pictures.items():
                mlflow.log_figure(figure, f"plots/{file}", save_kwargs={"dpi": PICTURE_DPI})
        return str(run.info.run_id)

    def text(self, model: str, version: str, file: str) -> str:
        """An artifact of the run that made a version. RefusedModelError for one of the caller's own that is not what was recorded."""
        found = self._client.get_model_version(self._name(model), version)
        text = str(mlflow.artifacts.load_text(f"runs:/{found.run_id}/{file}"))
        if found.tags.get(_digest_tag(file)) not in (None, _sha256(text)):
            raise RefusedModelError(f"{model} version {version}: {file} is not what was recorded")
        return text

    def find_text(self, model: str, version: str, file: str) -> str | None:
        """The same; None of a run that has no such artifact."""
        run_id = str(self._client.get_model_version(self._name(model), version).run_id)
        return self.text(model, version, file) if file in {a.path for a in self._client.list_artifacts(run_id)} else None

    def log_history(self, model: str, version: str, metrics: Mapping[str, float]) -> None:
        """Add one point to each of these lines of the run that made a version."""
        run_id = str(self._client.get_model_version(self._name(model), version).run_id)
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, value, step=len(self._client.get_metric_history(run_id, name)))

    def metrics(self, model: str, version: str) -> dict[str, float]:
        """The hold-out measures of a version."""
        run_id = self._client.get_model_version(self._name(model), version).run_id
        found = self._client.get_run(str(run_id)).data.metrics
        return {name: found[name] for name in _SHOWN if name in found}

    def _loaded(self, uri: str) -> PipelineModel:
        """The pipeline; a client of Spark Connect lays it into `scratch`, which the server sees."""
        if not _is_client():
            pipeline: PipelineModel = mlflow.spark.load_model(uri, dfs_tmpdir=self._scratch())
            return pipeline
        folder = self._scratch_folder()  # stays: Spark may read it at any time
        return PipelineModel.load(f"{mlflow.artifacts.download_artifacts(uri, dst_path=folder)}/{_MODEL_DATA}")

    def _scratch_folder(self) -> str:
        """A new folder of the client's own in `scratch`."""
        Path(self._scratch()).mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(dir=self._scratch())

    def _log_model(self, trained: Trained, name: str, run_id: str) -> str:
        with _quiet():
            signed = signature(trained)
            if _is_client():
                return self._log_written(trained.pipeline, signed, name, run_id)
            info = mlflow.spark.log_model(
                trained.pipeline,
                artifact_path="model",
                registered_model_name=name,
                signature=signed,
                pip_requirements=_REQUIREMENTS,
                dfs_tmpdir=self._scratch(),
            )
        return str(info.registered_model_version)

    def _log_written(self, pipeline: PipelineModel, signature: ModelSignature, name: str, run_id: str) -> str:
        """The same from a client of Spark Connect: the server writes Spark's own files into `scratch`, which both see."""
        folder = self._scratch_folder()
        pipeline.save(f"{folder}/{_MODEL_DATA}")
        model = Model(artifact_path="model", run_id=run_id, signature=signature)
        model.add_flavor("spark", pyspark_version=pyspark.__version__, model_data=_MODEL_DATA, code=None)
        model.save(f"{folder}/MLmodel")
        mlflow.log_artifacts(folder, "model")
        return str(mlflow.register_model(f"runs:/{run_id}/model", name).version)

    def _recorded(self, model: str, version: str) -> Version:
        """A version that `record` made of this very model."""
        try:
            found = self._client.get_model_version(self._name(model), version)
        except MlflowException as error:
            if error.error_code in _NOT_THERE:
                raise RefusedModelError(f"{model} version {version} is not in the registry") from error
            raise
        if "digest" not in found.tags:
            raise RefusedModelError(f"{model} version {version} has no recorded digest: it was not registered by training")
        learnt = self._client.get_run(str(found.run_id)).data.tags.get("model")
        if learnt != model:
            raise RefusedModelError(f"{model} version {version} is a model of {learnt}")
        return self._told(model, found)

    def version(self, model: str, version: str) -> Version:
        """A version of a model."""
        return self._told(model, self._client.get_model_version(self._name(model), version))

    def _told(self, model: str, found: ModelVersion) -> Version:
        measured = self._client.get_run(str(found.run_id)).data.metrics if found.run_id else {}
        return Version(model, str(found.version), tuple(sorted(found.aliases)), dict(found.tags), {n: measured[n] for n in _SHOWN if n in measured})

    def _found(self, model: str) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name='{self._name(model)}'"))

    def _registered(self, model: str) -> RegisteredModel | None:
        try:
            return self._client.get_registered_model(self._name(model))
        except MlflowException as error:
            if error.error_code in _NOT_THERE:
                return None
            raise

    def _experiment(self, suffix: str = "") -> str:
        name = f"{self._config.experiment}{suffix}"
        found = self._client.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        settings = load_experiment_settings(self._config)
        tags = {**settings.tags, "mlflow.note.content": settings.description}
        location = Path(self._config.artifacts).resolve().as_uri() if self._config.artifacts else None
        return str(self._client.create_experiment(name, artifact_location=location, tags=tags))

    def _name(self, model: str) -> str:
        return f"{self._config.model_prefix}{model}"

    def _scratch(self) -> str:
        """Where a Spark model is written before it is logged; the default is a shared folder."""
        folder = os.environ.get("MLFLOW_DFS_TMP") or self._config.scratch or f"{self._config.artifacts}/.scratch"
        return folder if "://" in folder else str(Path(folder).resolve())


def champion_metrics(config: MlflowConfig, champions: Sequence[tuple[str, str]]) -> dict[tuple[str, str], dict[str, float]]:
    """Hold-out measures of (model, version) pairs; one the registry does not know has none."""
    registry = Registry(config)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for model, version in champions:
        try:
            found[model, version] = registry.metrics(model, version)
        except MlflowException:
            found[model, version] = {}
    return found


def _digest_tag(file: str) -> str:
    return f"digest_of_{file}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _make_folders(config: MlflowConfig) -> None:
    if config.tracking_uri.startswith("sqlite:///"):
        Path(config.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    if config.artifacts and "://" not in config.artifacts:
        Path(config.artifacts).mkdir(parents=True, exist_ok=True)


def _is_client() -> bool:
    """True under Spark Connect, where MLflow misses the Spark file system that it copies models by; on Databricks it copies by a volume."""
    return is_remote() and "DATABRICKS_RUNTIME_VERSION" not in os.environ


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's hint on integer columns and its line per version on standard error; the job tells what counts.

    Standard error is the process's: what another thread prints there meanwhile is lost too, but not what is logged.
    """
    with warnings.catch_warnings(), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        yield
