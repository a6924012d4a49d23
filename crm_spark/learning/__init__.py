"""Models: windows and labels, features, training, measures, registry, scoring (domain.md, section 5)."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
