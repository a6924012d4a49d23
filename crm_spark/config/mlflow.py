"""Where models are tracked and registered, and when they are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MlflowConfig:
    """Tracking store, artifact folder and experiment of one environment."""

    tracking_uri: str
    artifacts: str
    experiment: str
    train: Literal["missing", "always", "never"] = "missing"
