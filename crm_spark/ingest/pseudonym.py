"""Pseudonyms and the split bucket, natively in Spark: keyed hashes that equal Python's hmac and hashlib."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from crm_spark.config.env import PseudonymConfig
from crm_spark.errors import ConfigError
from crm_spark.frames import literal_frame

KEY_VARIABLE = "CRM_SPARK_PSEUDONYM_KEY"
KEY_FILE_VARIABLE = "CRM_SPARK_PSEUDONYM_KEY_FILE"
SHORTEST_KEY = 16
_BLOCK = 64  # bytes of a SHA-256 block
_CHUNK = 12  # hex digits that fit a BIGINT with room to spare


@dataclass(frozen=True)
class PseudonymKey:
    """The secret of the pseudonyms; its text form never shows it."""

    secret: bytes = field(repr=False)
    version: str = "1"
    split_salt: str = PseudonymConfig.split_salt

    @property
    def check(self) -> str:
        """A short fingerprint by which another key is noticed without knowing either."""
        return hmac.new(self.secret, b"key check", hashlib.sha256).hexdigest()[:12]


def load_key(config: PseudonymConfig, environ: Mapping[str, str] = os.environ) -> PseudonymKey:
    """The key from the environment variable, else its file, else the configured file, which a local environment may make.

    ConfigError (exit 2) when there is none, or one too short to be a secret.
    """
    given = environ.get(KEY_VARIABLE)
    secret = given.encode() if given else _from_file(config, environ.get(KEY_FILE_VARIABLE))
    if len(secret) < SHORTEST_KEY:
        raise ConfigError(f"the pseudonym key has {len(secret)} bytes; at least {SHORTEST_KEY} are wanted")
    return PseudonymKey(secret, config.key_version, config.split_salt)


def subscriber_id(key: PseudonymKey, operator: str, identifier: Column) -> Column:
    """`user_id` of the operator's own subscriber id; null of null."""
    return keyed_hash(key, F.concat(F.lit(f"sub|{operator}|"), identifier))


def person_id(key: PseudonymKey, operator: str, identifier: Column) -> Column:
    """`person_id` of the operator's own customer id; null of null."""
    return keyed_hash(key, F.concat(F.lit(f"cust|{operator}|"), identifier))


def household_id(key: PseudonymKey, operator: str, identifier: Column) -> Column:
    """`household_id` of the operator's own household id; null of null."""
    return keyed_hash(key, F.concat(F.lit(f"home|{operator}|"), identifier))


def number_id(key: PseudonymKey, number: Column) -> Column:
    """`number_id` of a normalised number: the same for every operator, because numbers move; null of null."""
    return keyed_hash(key, F.concat(F.lit("num|"), number))


def keyed_hash(key: PseudonymKey, text: Column) -> Column:
    """HMAC-SHA256 of the text in UTF-8, as 64 hex digits (RFC 2104); null of null.

    The padded key comes from a row of its own: as a literal, Spark would show it in its pages and its event log, which redact no node of a plan.
    """
    block = hashlib.sha256(key.secret).digest() if len(key.secret) > _BLOCK else key.secret
    pads = tuple(bytes(b ^ pad for b in block.ljust(_BLOCK, b"\0")) for pad in (0x36, 0x5C))
    padded = literal_frame(SparkSession.active(), [pads], "inner binary, outer binary").select(F.struct("inner", "outer")).scalar()
    digest = F.unhex(F.sha2(F.concat(padded["inner"], F.encode(text, "UTF-8")), 256))
    return F.sha2(F.concat(padded["outer"], digest), 256)


def split_bucket(key: PseudonymKey, identifier: Column) -> Column:
    """0-99 from SHA-256(split salt | the source's own id): it does not move with the pseudonym key; null of null."""
    digest = F.sha2(F.encode(F.concat(F.lit(f"{key.split_salt}|"), identifier), "UTF-8"), 256)
    return _hex_modulo(digest, 64, 100).cast("int")


def _hex_modulo(digits: Column, length: int, modulus: int) -> Column:
    """The number written in `length` hex digits, modulo `modulus`, by chunks that fit a BIGINT."""
    total = F.lit(0).cast("bigint")
    for start in range(0, length, _CHUNK):
        width = min(_CHUNK, length - start)
        chunk = F.conv(F.substring(digits, start + 1, width), 16, 10).cast("bigint")
        total = total + chunk % modulus * pow(16, length - start - width, modulus)
    return total % modulus


def _from_file(config: PseudonymConfig, told: str | None) -> bytes:
    path = Path(told or config.key_file)
    if path.is_file():
        return path.read_bytes().strip()
    if told or not config.create:
        only_local = f"{path} does not exist, and only local environments make one"
        raise ConfigError(f"no pseudonym key: set {KEY_VARIABLE} or {KEY_FILE_VARIABLE} ({only_local})")
    return _make(path)


def _make(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(secrets.token_hex(32).encode())
    with contextlib.suppress(FileExistsError):  # another run was faster: its key counts
        os.link(draft, path)
    draft.unlink()
    return path.read_bytes()
