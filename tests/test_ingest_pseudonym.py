"""Pseudonyms equal Python's hmac, the key never shows, and its coming is strict."""

import hashlib
import hmac
import stat

import pytest
from pyspark.sql import functions as F

from crm_spark.config.env import PseudonymConfig
from crm_spark.errors import ConfigError
from crm_spark.ingest.pseudonym import PseudonymKey, household_id, keyed_hash, load_key, number_id, person_id, split_bucket, subscriber_id

TEXTS = ["", "1", "13800000000", "王瑋", "with|bar", "x" * 300, None]


@pytest.mark.parametrize("secret", [b"short but long enough", b"k" * 64, b"longer than a block of SHA-256 " * 4], ids=len)
def test_the_keyed_hash_is_hmac_sha256(frame, secret):
    rows = frame("t string", *[(t,) for t in TEXTS]).select("t", keyed_hash(PseudonymKey(secret), F.col("t")).alias("h")).collect()
    for row in rows:
        assert row.h == (None if row.t is None else hmac.new(secret, row.t.encode(), hashlib.sha256).hexdigest())


def test_rfc_4231_test_case_2():
    """The published vector pins what Python's hmac, and so the test above, computes."""
    digest = hmac.new(b"Jefe", b"what do ya want for nothing?", hashlib.sha256).hexdigest()
    assert digest == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_domains_keep_identifiers_apart(frame):
    key = PseudonymKey(b"a published key for tests")
    i = F.col("i")
    made = (
        subscriber_id(key, "ZJ", i), person_id(key, "ZJ", i), number_id(key, i), subscriber_id(key, "GD", i), household_id(key, "ZJ", i),
    )  # fmt: skip
    row = frame("i string", ("42",)).select(*made).first()
    texts = (b"sub|ZJ|42", b"cust|ZJ|42", b"num|42", b"sub|GD|42", b"home|ZJ|42")
    expected = [hmac.new(key.secret, text, hashlib.sha256).hexdigest() for text in texts]
    assert list(row) == expected


def test_the_split_bucket_is_the_whole_digest_modulo_100_and_independent_of_the_key(spark):
    ids = spark.range(200).select(F.concat(F.lit("id-"), "id").alias("i"))
    buckets = [split_bucket(PseudonymKey(secret, split_salt="salt"), F.col("i")) for secret in (b"one key of the tests", b"another key of tests")]
    for row in ids.select("i", buckets[0].alias("a"), buckets[1].alias("b")).collect():
        assert row.a == row.b == int(hashlib.sha256(f"salt|{row.i}".encode()).hexdigest(), 16) % 100


def test_the_key_shows_in_no_plan_and_no_text(spark, capsys):
    secret = b"canary-key-9f8e7d6c5b4a39281706"
    made = spark.range(3).select(F.col("id").cast("string").alias("t")).select(keyed_hash(PseudonymKey(secret), F.col("t")).alias("h"))
    made.explain(extended=True)
    made.collect()
    run = made._jdf.queryExecution()
    plans = capsys.readouterr().out + run.toString() + run.executedPlan().toString()  # the last is what the event log has: nothing redacts it
    padded = [bytes(b ^ pad for b in secret.ljust(64, b"\0")) for pad in (0x36, 0x5C)]
    assert "sha2" in plans.lower(), "the plan is there"
    for block in (secret, *padded):
        assert block.hex() not in plans.lower().replace(" ", "")
        assert block.decode("latin-1") not in plans
    assert "canary" not in repr(PseudonymKey(secret))


def config(tmp_path, create):
    return PseudonymConfig(key_file=str(tmp_path / "keys" / "pseudonym.key"), create=create)


def test_the_variable_comes_first_then_its_file_then_the_configured_file(tmp_path):
    named = tmp_path / "named.key"
    named.write_text("from the named file\n")
    configured = tmp_path / "keys" / "pseudonym.key"
    configured.parent.mkdir()
    configured.write_text("from the configured file")
    both = {"CRM_SPARK_PSEUDONYM_KEY": "from the variable itself", "CRM_SPARK_PSEUDONYM_KEY_FILE": str(named)}
    assert load_key(config(tmp_path, False), both).secret == b"from the variable itself"
    assert load_key(config(tmp_path, False), {"CRM_SPARK_PSEUDONYM_KEY_FILE": str(named)}).secret == b"from the named file"
    assert load_key(config(tmp_path, False), {}).secret == b"from the configured file"


def test_a_local_environment_makes_a_key_once_for_its_owner_alone(tmp_path):
    first = load_key(config(tmp_path, True), {})
    path = tmp_path / "keys" / "pseudonym.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(first.secret) == 64
    assert load_key(config(tmp_path, True), {}).secret == first.secret
    assert [p.name for p in path.parent.iterdir()] == ["pseudonym.key"]


@pytest.mark.parametrize(
    ("create", "environ", "told"),
    [
        (False, {}, "set CRM_SPARK_PSEUDONYM_KEY or CRM_SPARK_PSEUDONYM_KEY_FILE"),
        (True, {"CRM_SPARK_PSEUDONYM_KEY_FILE": "/nowhere/at/all"}, "does not exist"),
        (True, {"CRM_SPARK_PSEUDONYM_KEY": "tiny"}, "has 4 bytes; at least 16 are wanted"),
    ],
)
def test_elsewhere_a_missing_or_weak_key_is_an_error_of_the_configuration(tmp_path, create, environ, told):
    with pytest.raises(ConfigError, match=told) as error:
        load_key(config(tmp_path, create), environ)
    assert error.value.exit_code == 2


def test_the_check_tells_keys_apart_without_being_one():
    one, other = PseudonymKey(b"one key of the tests"), PseudonymKey(b"another key of tests")
    assert one.check != other.check and one.check not in (one.secret.decode(), one.secret.hex())
