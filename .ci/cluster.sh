# To be sourced: a Spark standalone cluster on loopback, and a month submitted to it.
BIN=.venv/bin
MONTH=2025-03
SPARK_HOME=$("$BIN/python" -c 'import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent)')
export SPARK_HOME SPARK_LOCAL_IP=127.0.0.1 SPARK_NO_DAEMONIZE=1 PYSPARK_PYTHON=$PWD/$BIN/python
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT

cluster_up() {  # WORKERS FOLDER: a master, and workers of one core each; `workers` holds their process ids
  local port logs=$2/logs i
  port=$("$BIN/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir -p "$logs"
  master=spark://127.0.0.1:$port workers=()
  _start master.Master "$logs/master.log" --port "$port"
  for i in $(seq 60); do grep -q "Starting Spark master" "$logs/master.log" && break || sleep 0.5; done
  for i in $(seq "$1"); do
    _start worker.Worker "$logs/worker-$i.log" -c 1 -m 3g --work-dir "$PWD/$2/work-$i" "$master"
    workers+=($!)
  done
  echo "cluster: master $master, workers of one core: $1"
}

cluster_down() {
  kill "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" 2>/dev/null || true
  pids=()
}

submit_month() {  # MASTER OPTIONS...: the month with the code as a zip, as on any cluster
  mkdir -p dist && rm -f dist/crm_spark.zip && "$BIN/python" -m zipfile -c dist/crm_spark.zip crm_spark
  "$SPARK_HOME/bin/spark-submit" --master "$1" --driver-memory 3g --executor-memory 2g \
    --conf "spark.driver.extraJavaOptions=-Dlog4j2.configurationFile=file:$PWD/crm_spark/log4j2.properties" \
    --jars "$(ls .jars/*.jar | paste -sd,)" --py-files dist/crm_spark.zip "${spark_options[@]}" \
    jobs/run_month.py --env cluster --month "$MONTH" "${@:2}"
}
spark_options=()

compare_digests() {  # ONE OTHER: the digests in the summaries of two folders below var/, side by side; fails unless they are equal
  "$BIN/python" - "$@" <<'PY'
import json, sys
one, other = sys.argv[1:]
mine, theirs = (json.load(open(f"var/{run}/summary.json"))["digests"] for run in (one, other))
for table in sorted({*mine, *theirs}):
    print(f"{table:<28} {one} {mine.get(table, '-')[:16]}  {other} {theirs.get(table, '-')[:16]}  {'equal' if mine.get(table) == theirs.get(table) else 'DIFFERENT'}")
equal = mine == theirs
print("all digests are equal" if equal else "digests DIFFER")
sys.exit(not equal)
PY
}

_start() { "$SPARK_HOME/bin/spark-class" "org.apache.spark.deploy.$1" --host 127.0.0.1 --webui-port 0 "${@:3}" >"$2" 2>&1 & pids+=($!); }
