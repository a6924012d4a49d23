"""The same customers and matrices give the same recommendations, bit for bit, today and on any layout of the data.

The digests below were written down once, from what the tests of matching, eligibility and recommending prove right. The customers
are made by hash, the scores are literal, the matrices are frozen here, so neither a retrained model nor a planner's new row moves
them. If a change of the rules of deciding moves them on purpose, write the new ones down and say in the commit what moved.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from crm_spark.decisions.compile import compile_all
from crm_spark.decisions.inputs import decision_input, usable_matrices
from crm_spark.decisions.recommend import decide, exclusions, recommendations
from crm_spark.session import local_session
from crm_spark.tables.decision import EXCLUSION, RECOMMENDATION
from crm_spark.tables.digest import digest
from tests.decision_support import read_matrices, write_matrix
from tests.tiny import ROOT

CUSTOMERS = 200
RECOMMENDED = "e0d8eadd56d07235163a0b058aca682a1a7bb565ae8edc38d059718136a97ad7"
EXCLUDED = "a7a497337588405a2633bcaae6c14355adfa8991b14b1eb1690896ea002588f8"
VERSIONS = ("model_versions", "matrix_versions", "matrix_set")  # of the files and the registry, not of the answer
WHY = ("rule_values", "offers", "runner_up", "candidates")  # a digest of their own: they came later
LATER = ("tier", "score_drivers")  # in none: the frozen matrices and scores tell none
EXPLAINED = "23ea48fcac6b3e96737fb262660522ed8ed564111b4ffe1cfc2cafc5643b693e"

POLICIES = """\
policy_id,name,family,goal,service,group,discount_strength,bundle_class,prepay_yuan,gift_yuan,term_months,unit_cost_yuan,valid_from,\
valid_to,channels,wording
STRONG,Strong,bundle,retention,,1,0.6,0,100,160,6,24,2000-01-01,2099-12-31,hall,Prepay 100.
WEAK,Weak,bundle,retention,,1,0.2,0,50,70,3,12,2000-01-01,2099-12-31,hall;sms,Prepay 50.
GONE,Gone,seasonal,retention,,1,0.4,,0,20,1,20,2000-12-01,2001-03-31,hall,Happy Spring Festival.
THANKS,Thanks,loyalty,retention,,2,0.1,,0,20,0,20,2000-01-01,2099-12-31,sms,Thank you.
PAPER,Paper,trial,new_service,newspaper,,0.5,,0,3,1,0.5,2000-01-01,2099-12-31,sms,The news of the morning.
TONE,Tone,trial,new_service,tone,,0.4,,0,5,1,0.5,2000-01-01,2099-12-31,sms,Let your callers hear music.
MORE,More,calls,traffic,,,0.3,,0,10,1,3,2000-01-01,2099-12-31,sms,Talk more.
LOCAL,Local,calls,traffic,,,0.2,,0,0,1,1,2000-01-01,2099-12-31,sms,Local minutes.
CIRCLE,Circle,vpn,virtual_network,vpn,,0.3,,0,0,12,3,2000-01-01,2099-12-31,hall,One network.
"""
GRADE = "value_grade: {type: string, allowed: [high, mid, low]}"
MATRICES = {
    "priority": (
        """rule,value_grade,churn_grade,priority,why
leaving,-,at_risk,retention > traffic > new_service,Likely to leave (churn {churn_score})
growing,"mid, low",-,traffic > new_service > retention,Of {value_grade} value
""",
        f"""hit_policy: FIRST
inputs: {{{GRADE}, churn_grade: string}}
outputs: {{priority: goals}}
default: {{priority: new_service > retention > traffic}}""",
    ),
    "retention": (
        """rule,tenure_months,arpu_yuan,value_grade,policy_group,main_policy,why
new,< 12,[30..150),-,1,WEAK,"{tenure_months} months, ARPU {arpu_yuan}"
loyal,>= 12,-,high,1,GONE,A loyal one
unknown,null,-,-,2,THANKS,
rest,-,>= 20,"mid, high",2,,
""",
        f"""goal: retention
hit_policy: FIRST
inputs: {{tenure_months: number, arpu_yuan: number, {GRADE}}}
outputs: {{policy_group: policy_group, main_policy: policy}}""",
    ),
    "new_service": (
        """rule,value_grade,arpu_yuan,policies
reader,not(low),-,"PAPER, TONE"
spender,-,> 60,TONE
""",
        f"goal: new_service\nhit_policy: RULE ORDER\ninputs: {{{GRADE}, arpu_yuan: number}}\noutputs: {{policies: policy_list}}",
    ),
    "traffic": (
        """rule,total_minutes,policies
quiet,< 50.5,"MORE, LOCAL"
falling,[40..120],LOCAL
""",
        "goal: traffic\nhit_policy: RULE ORDER\ninputs: {total_minutes: number}\noutputs: {policies: policy_list}",
    ),
    "virtual_network": (
        "rule,total_minutes,vpn_policy\ntalker,> 90,CIRCLE\n",
        "goal: virtual_network\nhit_policy: FIRST\ninputs: {total_minutes: number}\noutputs: {vpn_policy: policy}",
    ),
    "retrieval_retention": (
        "rule,status,value,offer_mode,why\nsuspended,suspended,-,none,The line is {status}\nworth_it,-,>= 60,one-to-one,Value {value}\n",
        """goal: retention
hit_policy: FIRST
inputs: {status: string, value: number}
outputs: {offer_mode: offer_mode}
default: {offer_mode: mass}""",
    ),
}


def drawn(name, below):
    """A whole number from 0 to `below` - 1 of the row's id: the same on every machine."""
    return f"conv(substr(sha2('{name} ' || id, 256), 1, 8), 16, 10) % {below}"


def one_of(name, *values):
    """One of SQL values."""
    return f"element_at(array({', '.join(values)}), int({drawn(name, len(values))} + 1))"


KEY = {"city": one_of("city", "'HANGZHOU'", "'NINGBO'", "'JINHUA'"), "month": "'2025-03'", "user_id": "sha2(string(id), 256)"}
VIEW = {
    **KEY,
    "status": one_of("status", "'active'", "'active'", "'active'", "'suspended'"),
    "tenure_months": f"CASE WHEN {drawn('tenure?', 9)} > 0 THEN int({drawn('tenure', 60)}) END",
    "arpu_yuan": f"CASE WHEN {drawn('arpu?', 9)} > 0 THEN cast(({drawn('arpu', 20000)}) / 100 AS decimal(18,2)) END",
    "total_minutes": one_of("minutes", "0D", "39.999D", "40D", "50.5D", "90.1D", "120D", "120.001D", "double('NaN')", "NULL"),
    "bundle_policies": one_of("bundle", "array('STRONG')", "array('WEAK', 'STRONG')", "array()", "NULL"),
    "services": "map('newspaper', named_struct('is_held', {} = 1), 'vpn', named_struct('is_held', {} = 1))".format(
        drawn("paper", 2), drawn("vpn", 3)
    ),
}
INDEX = {
    **KEY,
    "value": one_of("value", "12.345D", "59.99D", "60D", "88.5D", "NULL"),
    "value_grade": one_of("grade", "'high'", "'mid'", "'low'", "NULL"),
    "scores": f"map('churn', {one_of('churn', '1.005D', '32D', '66.666D', 'NULL')})",
    "grades": "map('churn', {})".format(one_of("churn", "'safe'", "'at_risk'", "'at_risk'", "NULL")),
    "groups": "map('traffic_group', 'local talker')",
    "model_versions": "map('churn', string(id % 3))",
}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    return frozen_matrices(tmp_path_factory.mktemp("golden"))


def frozen_matrices(folder):
    (folder / "policies.csv").write_text(POLICIES, encoding="utf-8")
    for name, (csv, yml) in MATRICES.items():
        write_matrix(folder, name, csv, f"question: x\n{yml}\n")
    return read_matrices(folder)


LAYOUTS = {
    "one partition": (1, {"spark.sql.shuffle.partitions": "1", "spark.sql.adaptive.enabled": "false"}),
    "seven partitions, sorted by another key, shuffled joins": (
        7,
        {"spark.sql.shuffle.partitions": "7", "spark.sql.adaptive.enabled": "false", "spark.sql.autoBroadcastJoinThreshold": "-1"},
    ),
    "adaptive": (3, {"spark.sql.shuffle.partitions": "5", "spark.sql.adaptive.enabled": "true"}),
}


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS.keys())
def layout(request, spark):
    partitions, settings = request.param
    before = {key: spark.conf.get(key) for key in settings}
    for key, value in settings.items():
        spark.conf.set(key, value)
    yield partitions
    for key, value in before.items():
        spark.conf.set(key, value)


def test_the_recommendations_of_frozen_matrices_are_what_they_were_on_any_layout(spark, frozen, layout):
    assert decided_on(spark, frozen, layout) == [CUSTOMERS, RECOMMENDED, EXPLAINED, EXCLUDED]


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 3])
def test_they_are_the_same_on_any_number_of_cores(tmp_path, cores):
    """Another process: a session has its cores for life."""
    command = [sys.executable, "-m", "tests.test_decisions_golden", str(cores), str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout.splitlines()[-1]) == [CUSTOMERS, RECOMMENDED, EXPLAINED, EXCLUDED]


def decided_on(spark, frozen, layout):
    """Customers, and the digests of their recommendations and exclusions, from so many partitions."""
    ids = spark.range(CUSTOMERS).orderBy(F.desc("id")) if layout > 1 else spark.range(CUSTOMERS)
    laid_out = ids.repartition(layout, F.col("id") * 31 % 11)
    view, index = (laid_out.select(*(F.expr(sql).alias(c) for c, sql in columns.items())) for columns in (VIEW, INDEX))
    people = decision_input(view, index, ("churn",), ("traffic_group",), frozen)
    usable, skipped = usable_matrices(people, frozen)
    assert skipped == ()
    compiled = compile_all(usable)
    decided = decide(people, compiled, frozen.policies, "2025-03").persist()
    made, dropped = RECOMMENDATION.conform(recommendations(decided, compiled, "set 1")), EXCLUSION.conform(exclusions(decided))
    others = [column for column in RECOMMENDATION.columns if column not in WHY]
    told = [made.count(), *(digest(made, RECOMMENDATION, without) for without in ((*VERSIONS, *WHY, *LATER), others)), digest(dropped, EXCLUSION)]
    decided.unpersist()
    return told


if __name__ == "__main__":
    here = Path(sys.argv[2])
    session = local_session("golden", cores=int(sys.argv[1]), memory="1g", warehouse=here / "warehouse")
    sys.stdout.write(json.dumps(decided_on(session, frozen_matrices(here), 4)) + "\n")
