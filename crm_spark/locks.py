"""Locks between processes: held by an open file, so a dead holder's lock is free at once.

A lock has a scope of cities: a run of named cities shares the month with runs of other cities; a run of all cities has it alone.
A job that must have the tables to itself shares them with no other job, of whatever month.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from crm_spark.errors import LockedError

_POLL_SECONDS = 0.05
_TABLES = "tables"


class Locks:
    """The locks of one process, in one folder; taking a lock again that is already held is free.

    Threads of a process write different tables: they do not keep each other out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, IO[str]] = {}

    @contextmanager
    def job(self, name: str, month: str, cities: Sequence[str] | None, alone: bool = False) -> Iterator[None]:
        """Hold (job, city, month) for the block, and the tables with other jobs or `alone`; LockedError (exit 75) names the holder."""
        wanted = [(_TABLES, alone), (f"{name}.{month}", cities is None)] + [(f"{name}.{month}.{c}", True) for c in cities or ()]
        with ExitStack() as taken:  # what was taken before a refusal is let go too
            for key, exclusive in wanted:
                if self._take(key, exclusive):
                    taken.callback(self._let_go, key)
            yield

    @contextmanager
    def commit(self, table: str) -> Iterator[None]:
        """Hold a table for a write: a local file system does not serialise Delta commits of several processes.

        Waits as long as it takes: a thread holds one table at a time, and a dead one none, so the wait ends.
        """
        key = f"table.{table}"
        while (taken := self._taken_now(key)) is None:
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            if taken:
                self._let_go(key)

    def _taken_now(self, key: str) -> bool | None:
        """None while another process holds it; False if this one has it already."""
        try:
            return self._take(key, True)
        except LockedError:
            return None

    def _let_go(self, key: str) -> None:
        self._held.pop(key).close()

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
