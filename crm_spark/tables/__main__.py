"""Write docs/tables.md to standard output: python -m crm_spark.tables"""

import sys

from crm_spark.tables.docs import tables_markdown

if __name__ == "__main__":
    sys.stdout.write(tables_markdown())
