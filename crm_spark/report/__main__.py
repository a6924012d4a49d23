"""Print the summary of a finished run: python -m crm_spark.report var/demo"""

import json
import sys
from pathlib import Path

from crm_spark.report.page import render_text

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "var/demo")
    if not (folder / "summary.json").exists():
        sys.exit(f"{folder}/summary.json is not there: run the month first (make demo)")
    sys.stdout.write(render_text(json.loads((folder / "summary.json").read_text(encoding="utf-8"))))
