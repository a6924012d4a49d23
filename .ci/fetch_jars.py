"""Let Ivy resolve Delta once, and keep the two jars that Spark itself does not have in .jars/."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyspark

from crm_spark.session import DELTA_PACKAGE

NEEDED = ("delta-spark_*.jar", "delta-storage-*.jar")
folder = Path(".jars")
ivy = folder / "ivy"
spark_submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
probe = folder / "probe.py"

folder.mkdir(exist_ok=True)
probe.write_text("")
result = subprocess.run(
    [spark_submit, "--master", "local[1]", "--packages", DELTA_PACKAGE, "--conf", f"spark.jars.ivy={ivy.resolve()}",
     "--driver-java-options", f"-Duser.home={ivy.resolve()}",  # a half-filled Maven folder at home would make Ivy fail
     "--conf", "spark.ui.enabled=false", probe],
    capture_output=True, text=True, check=False,
)
probe.unlink()
for old in folder.glob("*.jar"):
    old.unlink()  # of an earlier version: a session takes every jar that lies there
for pattern in NEEDED:
    found = sorted((ivy / "jars").glob(f"*{pattern}"))
    if not found:
        sys.exit(f"Ivy did not bring {pattern}:\n" + "\n".join(result.stderr.splitlines()[-15:]))
    for jar in found:
        shutil.copy(jar, folder / jar.name.removeprefix("io.delta_"))
shutil.rmtree(ivy)
