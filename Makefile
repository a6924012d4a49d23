.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SIZE ?= 20000
SEED ?= 7
export SPARK_LOCAL_IP := 127.0.0.1
export MLFLOW_DISABLE_TELEMETRY := true
export CRM_SPARK_REAL_DATA ?= ../shared/data
export CRM_SPARK_VAR ?= var

##@ Start here
help: ## list every target
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z][a-z0-9_-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## a small synthetic province, its month from raw files to recommendations, and where to look (10 to 20 minutes on 2 cores)
	@$(BIN)/python jobs/make_province.py --size $(SIZE) --seed $(SEED) --out var/demo/raw
	@$(BIN)/python jobs/run_month.py --env demo --month 2025-03
	@$(BIN)/python -m crm_spark.report var/demo

real: setup ## the same pipeline on the two real customer tables of CRM_SPARK_REAL_DATA
	@for file in cell2cell.csv.gz monthly_panel.csv; do test -f "$(CRM_SPARK_REAL_DATA)/$$file" || { echo "$$file not found: set CRM_SPARK_REAL_DATA to the folder with cell2cell.csv.gz and monthly_panel.csv"; exit 2; }; done
	@$(BIN)/python jobs/run_month.py --env real-cell2cell --month 2002-01
	@$(BIN)/python -m crm_spark.report $(CRM_SPARK_VAR)/real-cell2cell
	@$(BIN)/python jobs/run_month.py --env real-panel --month 2014-09
	@$(BIN)/python -m crm_spark.report $(CRM_SPARK_VAR)/real-panel

province: setup ## raw files of a synthetic province and, apart, the truth planted in them: make province SIZE=1e6 SEED=7
	@$(BIN)/python jobs/make_province.py --size $(SIZE) --seed $(SEED) --out $(CRM_SPARK_VAR)/province/$(SIZE)-$(SEED)/raw --tables all $(ARGS)

mlflow-ui: setup ## review the models of a run in the browser: make mlflow-ui RUN=demo
	@test -f "$(CRM_SPARK_VAR)/$(or $(RUN),demo)/mlflow.db" || { echo "$(CRM_SPARK_VAR)/$(or $(RUN),demo)/mlflow.db not found: run it first, or name another run with RUN="; exit 2; }
	@echo "open http://127.0.0.1:$(or $(PORT),5000)/#/experiments?workflowType=machine_learning"
	@$(BIN)/mlflow server --host 127.0.0.1 --port $(or $(PORT),5000) --backend-store-uri sqlite:///$(CRM_SPARK_VAR)/$(or $(RUN),demo)/mlflow.db --artifacts-destination $(CRM_SPARK_VAR)/$(or $(RUN),demo)/mlartifacts

cluster-demo: setup ## the demo's month on a Spark standalone cluster on this machine; prints both digests
	@test -f var/demo/summary.json || $(MAKE) demo
	@bash .ci/cluster_demo

cluster-proof: setup ## a small province's month on 1 worker, on 2, and on 2 of which one is killed: seconds, and equal digests (some minutes)
	@bash .ci/cluster_proof

##@ Measure
bench: setup ## seconds of calls -> voice_summary and contact_circle as ratios to reading and writing: make bench SIZES="1e4 1e5" (ARGS=--release: docs/bench.json and the chart)
	@$(BIN)/python -m crm_spark.bench --sizes $(or $(SIZES),1e4 1e5 1e6) --memory $(or $(MEMORY),6g) --out $(CRM_SPARK_VAR)/bench $(ARGS)

bench-match: setup ## a decision table of 1,000 rules on 1,000,000 customers: against reading and writing them, and against a CASE chain
	@$(BIN)/python -m crm_spark.bench.match --rows $(or $(ROWS),1e6) --out $(CRM_SPARK_VAR)/bench

bench-month: setup ## the whole month at several sizes, seconds of each job: make bench-month SIZES="1e4 1e5" (ARGS=--regular: a month after another one)
	@$(BIN)/python -m crm_spark.bench.month --sizes $(or $(SIZES),1e4 1e5) --memory $(or $(MEMORY),6g) --out $(CRM_SPARK_VAR)/bench $(ARGS)

bench-capacity: setup ## one offer each within capacities, 1,000,000 customers with 50 candidates: make bench-capacity SIZES="1e5 1e6"
	@$(BIN)/python -m crm_spark.bench.capacity --sizes $(or $(SIZES),1e6) --out $(CRM_SPARK_VAR)/bench

bench-day: setup ## a day's calls at the beginning and the end of a month, and the whole month: make bench-day SIZE=1e5
	@$(BIN)/python -m crm_spark.bench.day --size $(SIZE) --out $(CRM_SPARK_VAR)/bench

bench-skew: setup ## what uneven calls cost: one number with a tenth of all calls, one that is called by all, numbers untold
	@$(BIN)/python -m crm_spark.bench --skew --sizes $(or $(SIZES),1e5) --out $(CRM_SPARK_VAR)/bench

bench-duckdb: setup ## the same, and in DuckDB: its seconds, and that its rows are equal: make bench-duckdb SIZES="1e5 1e6" MEMORY=9g
	@$(BIN)/python -m crm_spark.bench --duckdb --sizes $(or $(SIZES),1e4 1e5) --memory $(or $(MEMORY),6g) --out $(CRM_SPARK_VAR)/bench

bench-quality: setup ## the champion search on raw tables, real, planted and wide, against gradient boosting of other libraries (long): make bench-quality ARGS="--splits 2"
	@$(BIN)/python -m crm_spark.bench.quality --out $(CRM_SPARK_VAR)/bench $(ARGS)

bench-models: setup ## one fit against the bare MLlib estimator, and the scores of nine models for 1,000,000 customers in one pass: make bench-models SIZES="1e5 1e6"
	@$(BIN)/python -m crm_spark.bench.models --sizes $(or $(SIZES),1e6) --out $(CRM_SPARK_VAR)/bench

##@ Check
test: setup ## the test suite (10 to 20 minutes on 2 cores)
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-slow: setup ## the long proofs
	@$(BIN)/python -m pytest -m slow

permuted: setup ## the proof that shuffled labels make no champion, on cell2cell of CRM_SPARK_REAL_DATA
	@$(BIN)/python -m pytest -m slow tests/test_permuted_labels.py

lint-matrices: setup ## the marketing matrices: gaps, rules that never answer, policies out of date: make lint-matrices ENV=demo MONTH=2025-03
	@$(BIN)/python -m crm_spark.decisions lint --env $(or $(ENV),demo) --month $(or $(MONTH),2025-03)

lint: setup ## ruff
	@$(BIN)/ruff check .

type: setup ## mypy --strict
	@$(BIN)/mypy

docs: setup ## write docs/tables.md anew from the contracts
	@$(BIN)/python -m crm_spark.tables > docs/tables.md

##@ Ship
wheel: setup ## the wheel for Databricks, and the zip that spark-submit --py-files takes
	@rm -rf build dist/*.whl
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@rm -f dist/crm_spark.zip && $(BIN)/python -m zipfile -c dist/crm_spark.zip crm_spark
	@ls -1 dist

setup: $(VENV)/.done ## environment, packages, Java, Delta jars (once)

$(VENV)/.done: setup.py .ci/setup .ci/fetch_jars.py crm_spark/session.py
	@PYTHON=$(PYTHON) VENV=$(VENV) bash .ci/setup
	@touch $@

clean: ## remove what runs left (var/) and what was built; the environment stays
	@rm -rf var build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db

.PHONY: help demo real province mlflow-ui cluster-demo cluster-proof bench bench-capacity bench-month bench-day bench-match bench-models bench-skew bench-duckdb bench-quality test test-slow permuted lint-matrices lint type docs wheel setup clean
