"""A copy of the lists, in memory, that any question of a page is asked of.

Redis keeps what is shown, and what changed; which orders fit a filter, in which order, and how many
there are, SQLite tells within milliseconds, of any combination, where Redis would need an index for
each. Every process that serves pages has a copy of its own: it is filled at the start, brought up
to date by what changed (`follower.py`), and lost with the process.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pydantic_core import from_json, to_json

from services.dashboard.rows import COLUMNS, Row
from services.dashboard.state import Entry, Handled, Letter, Level
from shared.clock import to_ms
from shared.events.dashboard import DASHBOARD_EVENTS
from shared.events.fulfillment import FULFILLMENT_EVENTS

LATELY_S = 3.0
"""How old an answer may be that looks at each order: 10⁵ of them take some 30 ms."""
LATELY_KEPT = 64

_SCHEMA = f"""
CREATE TABLE orders ({", ".join(COLUMNS)}, part, PRIMARY KEY (order_id)) WITHOUT ROWID;
CREATE INDEX orders_by_purchase ON orders (purchase_ms, order_id);
CREATE INDEX orders_by_status ON orders (status, purchase_ms, order_id);
CREATE INDEX orders_by_update ON orders (updated_ms, order_id);
CREATE INDEX orders_by_total ON orders (total_minor * was_seller, order_id);
CREATE INDEX orders_by_ship_by ON orders (ship_by_ms = 0, ship_by_ms, order_id);
CREATE INDEX orders_to_ship ON orders (status, ship_by_ms, marketplace_id, warn_ms, cancel_ms);
CREATE INDEX orders_stuck ON orders (stuck) WHERE stuck != '';
CREATE INDEX orders_asked ON orders (cancel_asked) WHERE cancel_asked = 1;
CREATE INDEX orders_returning ON orders (returns_open) WHERE returns_open > 0;
CREATE INDEX orders_by_source ON orders
  (source, purchase_ms, was_seller, status, currency, total_minor);
CREATE INDEX orders_measured ON orders (was_seller, confirmed_ms, ship_by_ms, released_ms, status,
  canceled_by, delivered_ms, packages, packages_seen, stuck);
CREATE INDEX orders_by_confirmation ON orders (confirmed_ms) WHERE confirmed_ms > 0;
CREATE INDEX orders_by_cancel ON orders (canceled_ms) WHERE canceled_ms > 0;
CREATE TABLE texts (order_id PRIMARY KEY, text, part) WITHOUT ROWID;
CREATE TABLE skus (sku, order_id, part, PRIMARY KEY (sku, order_id)) WITHOUT ROWID;
CREATE INDEX skus_by_order ON skus (order_id);
CREATE TABLE waits (order_id, waits_by, kind, due_ms, part);
CREATE INDEX waits_by_due ON waits (due_ms, kind, waits_by, order_id);
CREATE INDEX waits_by_kind ON waits (kind, waits_by, due_ms);
CREATE INDEX waits_by_order ON waits (order_id);
CREATE TABLE stock (subject PRIMARY KEY, seller_id, sku, on_hand, available, reserved, changed_ms,
  adds_up, part) WITHOUT ROWID;
CREATE TABLE letters (origin PRIMARY KEY, service, reason, field, detail, subject, place,
  size_bytes, kept_ms, part) WITHOUT ROWID;
CREATE INDEX letters_by_time ON letters (kept_ms);
CREATE INDEX letters_by_subject ON letters (subject);
CREATE TABLE last_handled (origin PRIMARY KEY, at_ms, what, source, copy_at, reason, part)
  WITHOUT ROWID;
CREATE TABLE acts (about, at_ms, source, type, cause, topic, offset, said, record_key, part,
  PRIMARY KEY (about, cause)) WITHOUT ROWID;
CREATE INDEX acts_by_time ON acts (at_ms);
CREATE TABLE refused (order_id, time_ms, reason, detail, field, request_type, part);
CREATE INDEX refused_by_time ON refused (time_ms);
CREATE TABLE reached (order_id, due_ms, late_ms, publisher, kind, part);
CREATE INDEX reached_by_time ON reached (due_ms);
"""
_LETTERS_NOW = """
CREATE VIEW letters_now AS SELECT letters.*, coalesce(last.what, 'open') AS state,
  coalesce(last.source, '') AS handled_by, coalesce(last.at_ms, 0) AS handled_ms,
  coalesce(last.copy_at, '') AS copy_at, coalesce(last.reason, '') AS discarded_because
  FROM letters LEFT JOIN last_handled AS last USING (origin);
"""
"""Dead letters, with what was done last with each."""
_PUT = f"INSERT INTO orders VALUES ({', '.join('?' * len(COLUMNS))}, ?)"  # noqa: S608
_PUT_LAST = """INSERT INTO last_handled VALUES (?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (origin) DO UPDATE SET at_ms = excluded.at_ms, what = excluded.what,
    source = excluded.source, copy_at = excluded.copy_at, reason = excluded.reason
  WHERE excluded.at_ms >= at_ms"""
_PUT_ACT = f"""INSERT INTO acts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (about, cause) DO UPDATE SET at_ms = excluded.at_ms, type = excluded.type,
    topic = excluded.topic, offset = excluded.offset, said = excluded.said
  WHERE excluded.topic = '{FULFILLMENT_EVENTS.name}'"""  # noqa: S608
"""Of several facts that one act led to, what fulfillment says of the order itself tells most."""
_OF_ORDERS = ("orders", "texts", "skus", "waits")
_TABLES = (*_OF_ORDERS, "stock", "letters", "refused", "reached", "last_handled", "acts")


class Index:
    """The copy: `put_*` and `add` bring it up to date, `ask` answers."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_SCHEMA + _LETTERS_NOW)
        self._lately: dict[tuple[object, ...], tuple[float, list[sqlite3.Row]]] = {}

    def close(self) -> None:
        """Forget all of it."""
        self._db.close()

    def clear(self, partition: int) -> None:
        """Forget a partition, to read it anew."""
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table} WHERE part = ?", (partition,))  # noqa: S608

    def put_orders(self, partition: int, rows: Iterable[tuple[str, bytes | None]]) -> None:
        """Take over rows as they are in Redis; None takes an order out."""
        with self._writing():
            for order_id, value in rows:
                for table in _OF_ORDERS:
                    self._db.execute(f"DELETE FROM {table} WHERE order_id = ?", (order_id,))  # noqa: S608
                if value is not None:
                    self._put_order(partition, order_id, Row(*from_json(value)))

    def _put_order(self, partition: int, order_id: str, row: Row) -> None:
        self._db.execute(_PUT, (*row[: len(COLUMNS)], partition))
        self._db.execute("INSERT INTO texts VALUES (?, ?, ?)", (order_id, row.text, partition))
        self._db.executemany(
            "INSERT INTO skus VALUES (?, ?, ?)",
            [(sku, order_id, partition) for sku in row.skus.split("\n")],
        )
        self._db.executemany(
            "INSERT INTO waits VALUES (?, ?, ?, ?, ?)",
            [(order_id, *wait, partition) for wait in row.waits],
        )

    def put_stock(self, partition: int, rows: Iterable[tuple[str, bytes | None]]) -> None:
        """Take over levels as they are in Redis."""
        with self._writing():
            for subject, value in rows:
                if value is None:
                    self._db.execute("DELETE FROM stock WHERE subject = ?", (subject,))
                    continue
                level = Level.model_validate_json(value)
                self._db.execute(
                    "INSERT OR REPLACE INTO stock VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (subject, level.seller_id, level.sku, level.on_hand, level.available,
                     level.reserved, to_ms(level.changed_at), level.adds_up, partition),
                )  # fmt: skip

    def add(self, partition: int, stream: str, values: Sequence[bytes]) -> None:
        """Take over what came on a stream."""
        with self._writing():
            for value in values:
                self._add(partition, stream, value)

    def _add(self, partition: int, stream: str, value: bytes) -> None:
        if stream == "letters":
            letter = Letter.model_validate_json(value)
            self._db.execute(
                "INSERT OR REPLACE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (letter.origin, letter.service, letter.reason, letter.field, letter.detail,
                 letter.subject, letter.offset, letter.size_bytes, to_ms(letter.kept_at),
                 partition),
            )  # fmt: skip
            return
        order_id, entry = from_json(value)
        if stream == "handled":
            self._add_handled(partition, order_id, Handled(*entry))
            return
        told = Entry(*entry)
        if stream == "acts":
            act = (order_id, told.time_ms, told.cause_source, told.type, told.cause, told.topic,
                   told.offset, to_json(told.said), "", partition)  # fmt: skip
            self._db.execute(_PUT_ACT, act)
            return
        said = told.said.get
        if stream == "refused":
            names = ("reason", "detail", "field", "request_type")
            row = (order_id, told.time_ms, *(said(name, "") for name in names), partition)
            self._db.execute("INSERT INTO refused VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        else:
            row = (order_id, told.time_ms, told.late_ms, said("publisher"), said("kind"), partition)
            self._db.execute("INSERT INTO reached VALUES (?, ?, ?, ?, ?, ?)", row)

    def _add_handled(self, partition: int, origin: str, did: Handled) -> None:
        said = to_json({"reason": did.reason})
        self._db.execute(
            _PUT_ACT,
            (origin, did.time_ms, did.source, f"letter.{did.what}", str(did.offset),
             DASHBOARD_EVENTS.name, did.offset, said, did.record_key, partition),
        )  # fmt: skip
        self._db.execute(
            _PUT_LAST,
            (origin, did.time_ms, did.what, did.source, did.copy_at, did.reason, partition),
        )

    def ask(self, sql: str, **values: object) -> list[sqlite3.Row]:
        """The rows of a question; `:NAME` in it stands for a value."""
        return self._db.execute(sql, values).fetchall()

    def ask_lately(self, sql: str, **values: object) -> list[sqlite3.Row]:
        """The rows of a question about all orders, maybe some seconds old."""
        asked, now_s = (sql, *values.values()), time.monotonic()
        at_s, rows = self._lately.get(asked, (-LATELY_S, []))
        if now_s - at_s >= LATELY_S:
            if len(self._lately) >= LATELY_KEPT:
                self._lately.clear()
            rows = self.ask(sql, **values)
            self._lately[asked] = (now_s, rows)
        return rows

    def one(self, sql: str, **values: object) -> sqlite3.Row:
        """The row of a question that has one."""
        (row,) = self.ask(sql, **values)
        return row

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
