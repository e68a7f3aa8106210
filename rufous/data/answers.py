"""Answers of a model, kept in one SQLite file with what they cost; processes and threads share it.

The budget is of the file: it counts every request that was ever sent through it, so a run that stops and goes
on cannot spend twice. Answers that are kept cost nothing.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_WAIT_S = 30.0  # for another process that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, is_whole INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS spent (id INTEGER PRIMARY KEY CHECK (id = 1), requests INTEGER, tokens INTEGER);
INSERT OR IGNORE INTO spent VALUES (1, 0, 0);
"""


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    is_whole: bool = True
    """False if it was cut off at the longest answer that was allowed."""


@dataclass(frozen=True)
class Spent:
    """What was sent through one file, ever."""

    requests: int
    tokens: int


class BudgetSpentError(OSError):
    """No further request is allowed for now: a later run with a larger budget goes on."""


@dataclass(frozen=True)
class AnswerFile:
    """Answers and their cost; owns no connection, so it goes to other processes as it is."""

    path: Path

    def find(self, key: str) -> Answer | None:
        """The answer that is kept under ``key``."""
        with self._open() as database:
            row = database.execute("SELECT text, is_whole FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else Answer(row[0], bool(row[1]))

    def keep(self, key: str, answer: Answer) -> None:
        """Keep an answer; the last one counts."""
        with self._open() as database:
            row = (key, answer.text, int(answer.is_whole))
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)

    def take_request(self, *, max_requests: int | None, max_tokens: int | None) -> None:
        """Count one request, before it is sent.

        Raises:
            BudgetSpentError: The budget is spent; nothing is counted.
        """
        with self._open() as database:
            allowed = database.execute(
                "UPDATE spent SET requests = requests + 1 WHERE requests < ? AND tokens < ?",
                (_limit(max_requests), _limit(max_tokens)),
            ).rowcount
        if not allowed:
            spent = self.spent()
            raise BudgetSpentError(
                f"the budget of {self.path} is spent: {spent.requests} requests of {max_requests}, "
                f"{spent.tokens} tokens of {max_tokens}: raise max_requests or max_tokens and run again"
            )

    def add_tokens(self, tokens: int) -> None:
        """Count what an answer took."""
        with self._open() as database:
            database.execute("UPDATE spent SET tokens = tokens + ?", (tokens,))

    def spent(self) -> Spent:
        """What was sent so far."""
        with self._open() as database:
            return Spent(*database.execute("SELECT requests, tokens FROM spent").fetchone())

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection, inside one transaction.

        Raises:
            OSError: The file cannot be made, is no database, or stays locked.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as database, database:
                if not database.execute("PRAGMA user_version").fetchone()[0]:
                    database.executescript(f"{_TABLES} PRAGMA user_version = 1;")
                yield database
        except sqlite3.Error as error:
            raise OSError(f"the answers in {self.path} cannot be read or written: {error}") from error


def _limit(value: int | None) -> int:
    return 2**62 if value is None else value
