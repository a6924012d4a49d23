"""Locks between processes: held by an open file, so a dead holder's lock is free at once.

A lock has a scope of cities: a run of named cities shares the month with runs of other cities; a run of all cities has it alone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from crm_spark.errors import LockedError


class Locks:
    """The locks of one process, in one folder; taking a lock again that is already held is free."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, IO[str]] = {}

    @contextmanager
    def job(self, name: str, month: str, cities: Sequence[str] | None) -> Iterator[None]:
        """Hold (job, city, month) for the block; LockedError (exit 75) names the holder if another has it."""
        wanted = [(f"{name}.{month}", cities is None)] + [(f"{name}.{month}.{c}", True) for c in cities or ()]
        taken = [key for key, exclusive in wanted if self._take(key, exclusive)]
        try:
            yield
        finally:
            for key in taken:
                self._held.pop(key).close()

    @contextmanager
    def commit(self, table: str, patience_seconds: float = 600.0) -> Iterator[None]:
        """Hold a table for the moment of a commit: a local file system does not serialise Delta commits of several processes."""
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                taken = self._take(f"table.{table}", True)
                break
            except LockedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        try:
            yield
        finally:
            if taken:
                self._held.pop(f"table.{table}").close()

    def _take(self, key: str, exclusive: bool) -> bool:
        if key in self._held:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        stream = (self._folder / f"{key}.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            stream.close()
            raise LockedError(f"{key} is held by {holder}; wait for it, or stop it, and run again") from None
        _sign(stream)
        self._held[key] = stream
        return True


def _sign(stream: IO[str]) -> None:
    stream.truncate(0)
    stream.write(f"process {os.getpid()}")
    stream.flush()
