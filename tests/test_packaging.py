"""What is installed works without the source tree: the wheel, its entry points, and the files beside the code."""

import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {f"crm-{p.stem.replace('_', '-')}" for p in (ROOT / "jobs").glob("*.py") if p.stem != "__init__"}

# Imports every entry point of the unpacked wheel and asks it for help; prints {command: [module's file, exit code]}.
HELP = """
import contextlib, importlib, io, json, sys
from importlib.metadata import distributions
found = {}
(wheel,) = [d for d in distributions(path=[sys.argv[1]])]
for point in wheel.entry_points:
    module, name = point.value.split(":")
    main = getattr(importlib.import_module(module), name)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as told:
            main(["--help"])
    except SystemExit as ended:
        found[point.name] = [sys.modules[module].__file__, ended.code, told.getvalue()[:5]]
json.dump(found, sys.stdout)
"""


def called(*command, **options):
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the wheel is made of: building leaves its traces there."""
    folder = tmp_path_factory.mktemp("source")
    for part in ("crm_spark", "jobs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / part, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    called(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    zipfile.ZipFile(built).extractall(folder / "unpacked")
    return folder / "unpacked"


def outside(**more):
    """The environment of a process that does not see the source tree."""
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **more}


def test_the_wheel_holds_the_files_beside_the_code(wheel):
    assert {p.name for p in (wheel / "crm_spark").glob("*") if p.suffix != ".py" and p.is_file()} == {"log4j2.properties", "py.typed"}
    assert (wheel / "crm_spark/report/summary.html").exists()
    assert not [p for p in wheel.rglob("*") if "test" in p.name]


def test_every_command_of_the_wheel_helps(wheel, tmp_path):
    found = json.loads(called(sys.executable, "-c", HELP, wheel, cwd=tmp_path, env=outside(PYTHONPATH=str(wheel))))
    assert set(found) == COMMANDS
    assert all(Path(file).parent == wheel / "crm_spark/jobs" and code == 0 and told == "usage" for file, code, told in found.values()), found


def test_the_commands_of_an_editable_installation_run(source, tmp_path):
    """Its finder sees only packages with an `__init__.py`."""
    called(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (packages / "base.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    python = tmp_path / "venv/bin/python"
    called(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", source, env=outside())
    assert called(tmp_path / "venv/bin/crm-publish", "--help", cwd=tmp_path, env=outside()).startswith("usage: publish")
