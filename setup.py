"""Package of crm_spark: the library, and the jobs as `crm_spark.jobs` with one console entry point each."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "crm_spark/__init__.py").read_text(encoding="utf-8")).group(1)
SPARK = ["pyspark==4.1.1", "delta-spark==4.4.0"]  # apart: a runtime of Databricks has its own, which another one beside it breaks
JOBS = sorted(p.stem for p in (HERE / "jobs").glob("*.py") if not p.stem.startswith("_"))

setup(
    name="crm-spark",
    version=VERSION,
    description="Know every customer of a mobile operator and offer each the one right thing",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=[*find_packages(include=["crm_spark", "crm_spark.*"]), "crm_spark.jobs"],
    package_dir={"crm_spark.jobs": "jobs"},
    package_data={"crm_spark": ["py.typed", "log4j2.properties", "report/*.html"]},
    install_requires=[
        "mlflow==3.17.2",
        "pandas>=2.2,<3",
        "importlib_metadata==8.7.1",
        "numpy>=1.26",
        "pyarrow>=15",
        "pyyaml>=6",
    ],
    extras_require={
        "spark": SPARK,
        "xgboost": ["xgboost>=2"],
        "dev": [
            *SPARK,
            "bandicoot==0.6.0",
            "build>=1.2",
            "chispa>=0.12",
            "databricks-bundles==1.22.1",
            "duckdb>=1.2",
            "hypothesis>=6.100",
            "lightgbm>=4",
            "mypy>=1.11",
            "openpyxl>=3.1",
            "pandas-stubs",
            "pyspark[connect]",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "setuptools>=69",
            "types-PyYAML",
            "wheel",
            "xgboost-cpu>=2",
        ],
    },
    entry_points={"console_scripts": [f"crm-{job.replace('_', '-')} = crm_spark.jobs.{job}:main" for job in JOBS]},
)
