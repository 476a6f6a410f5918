"""Our Lua scripts as functions on a Redis in memory: what each does, it does too."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic_core import from_json

import services.inventory.store
import services.payment.store
import shared.clock
import shared.partition_store
from services.simulator.memory_redis import MemoryRedis, Twin
from services.simulator.tallies import tally
from shared.redis import Argument, Script

ANSWERS = 4096
"""Answers about facts that an order's entry keeps, as in stock.lua."""

Row: TypeAlias = tuple[str, int, int, int, int, bool, int, int]
"""SKU, units asked for, on hand, reserved, version, depleted, by how much the first two changed."""


def _claim(redis: MemoryRedis, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
    fence, meta, outbox, calls = keys
    redis.execute("SET", fence, args[0])
    return [
        redis.execute("HGETALL", meta),
        redis.execute("LRANGE", outbox, 0, -1),
        redis.execute("HVALS", calls),
        b"%x" % redis.run,
    ]


def _held(redis: MemoryRedis, keys: Sequence[bytes], _args: Sequence[bytes]) -> Any:
    return [redis.execute("GET", keys[0]), b"%x" % redis.run]


def commit(redis: MemoryRedis, keys: Sequence[bytes], args: Sequence[bytes]) -> int:
    """All writes of a batch or none of them, for the holder of the fence token: commit.lua."""
    held, following = args[:2]
    if redis.execute("GET", keys[0]) != held:
        return 0
    redis.execute("SET", keys[0], following)
    at = 2
    for key in keys[1:]:
        count = int(args[at + 1])
        redis.execute(args[at], key, *args[at + 2 : at + 2 + count])
        at += 2 + count
    return 1


def _read_clock(redis: MemoryRedis, _keys: Sequence[bytes], _args: Sequence[bytes]) -> Any:
    """In virtual time nobody changes gear: the record has no steps."""
    return [*redis.execute("TIME"), []]


class Stock:
    """One run of stock.lua, operation by operation."""

    def __init__(self, redis: MemoryRedis, keys: Sequence[bytes], args: Sequence[bytes]) -> None:
        self._redis = redis
        self._levels, self._asker = keys
        self._remember_ms, self._most_units = int(args[1]), int(args[2])
        self._args = args[3:]

    def reserve(self) -> bytes:
        event_id = self._args[0]
        first, placed_by = self.entry("HMGET", "reserve", "placed_by")
        if placed_by is not None and placed_by != event_id:
            return _answer("taken")
        if first is not None:
            return _bytes_of(first)
        rows, lacking = [], []
        held: dict[str, int] = {}
        for sku, units in self._pairs():
            row, possible = self._changed(sku, units, 0, units)
            rows.append(row)
            held[sku] = units
            if not possible:
                lacking.append(row)
        reply = _answer("reserved", rows)
        if lacking:
            reply, rows, held = _answer("rejected", lacking), [], {}
        self._write_levels(rows)
        self._write_entry(held, "placed_by", event_id, "reserve", reply)
        return reply

    def release(self, version: int) -> bytes:
        written_off = self._args[1] == b"1"
        rows = []
        for sku, units in self._units("held").items():
            row, possible = self._changed(sku, units, -units if written_off else 0, -units)
            if not possible:
                return _answer("impossible", [row])
            rows.append(row)
        self.leave_tombstone()
        return self._apply(version, "released", rows, {})

    def ship(self, version: int) -> bytes:
        held, shipped = self._units("held"), self._units("shipped")
        rows = []
        for sku, change in self._pairs():
            row, possible = self._changed(sku, change, -change, -change)
            still_held, now_shipped = held.get(sku, 0) - change, shipped.get(sku, 0) + change
            if not possible or still_held < 0 or now_shipped < 0:
                return _answer("impossible", [row])
            held[sku], shipped[sku] = still_held, now_shipped
            rows.append(row)
        return self._apply(
            version, "shipped", rows, _above_0(held), "shipped", _json(_above_0(shipped))
        )

    def take_back(self, version: int) -> bytes:
        """Shipped units come back; damaged ones stay gone."""
        shipped, rows = self._units("shipped"), []
        flat = self._args[1:]
        for sku, sellable, damaged in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            name, units = sku.decode(), int(sellable)
            row, possible = self._changed(name, units, units, 0)
            still_shipped = shipped.get(name, 0) - units - int(damaged)
            if not possible or still_shipped < 0:
                return _answer("impossible", [row])
            shipped[name] = still_shipped
            rows += [row] * (units > 0)
        left = _json(_above_0(shipped))
        return self._apply(version, "returned", rows, self._units("held"), "shipped", left)

    def lasts(self) -> bytes:
        """Whether so much is available; nothing is kept of this."""
        lacking: list[Row] = []
        for sku, units in zip(self._args[::2], self._args[1::2], strict=True):
            on_hand, reserved, version = self._level(sku.decode())
            if on_hand - reserved < int(units):
                row = (sku.decode(), int(units), on_hand, reserved, version, False, 0, 0)
                lacking.append(row)
        return _answer("lacking" if lacking else "lasts", lacking)

    def supply(self, *, counted: bool) -> bytes:
        first = self._redis.execute("GET", self._asker)
        if first is not None:
            return _bytes_of(first)
        sku, units = self._args[0].decode(), int(self._args[1])
        on_hand, reserved, _ = self._level(sku)
        change = units - on_hand if counted else units
        row, possible = self._changed(sku, change, change, 0, max(self._most_units, on_hand))
        refusal = "below_reserved" if on_hand + change < reserved else "above_limit"
        reply = _answer("counted" if possible else refusal, [row])
        self._write_levels([row] if possible else [])
        self._redis.execute("SET", self._asker, reply, "PX", self._remember_ms)
        return reply

    def of_version(self, do: Callable[[int], bytes]) -> bytes:
        """The first answer about a fact; what is older than the last is never applied."""
        version = int(self._args[0])
        kept, applied = self.entry("HMGET", version % ANSWERS, "applied")
        of, _, reply = (kept or b"0 ").partition(b" ")
        if int(of) == version:
            return _bytes_of(reply)
        return _answer("passed") if version <= int(applied or 0) else do(version)

    def restore(self, operation: bytes, args: Sequence[bytes]) -> bytes | int:
        """One run of stock_restore.lua: bring the stock up to what was told, where it is older."""
        match operation:
            case b"stored":
                return self._stored(args[0].decode())
            case b"level":
                return self._restore_level(args[0].decode(), *args[1:])
            case b"command":
                reply = _answer("passed")
                self._redis.execute("SET", self._asker, reply, "PX", self._remember_ms, "NX")
            case b"placed" if self.entry("HGET", "reserve") is None:
                held = {s.decode(): int(n) for s, n in zip(args[2::2], args[3::2], strict=True)}
                reply = _answer(args[0].decode())
                self._write_entry(held, "placed_by", args[1], "reserve", reply)
            case b"moved" if int(self.entry("HGET", "applied") or 0) < int(args[1]):
                self._move(args[0].decode(), int(args[1]), args[2:])
        return _answer("passed")

    def _restore_level(self, sku: str, stored: bytes, *level: bytes) -> int:
        if self._stored(sku) != stored:
            return 0
        self._redis.execute("HSET", self._levels, sku, b" ".join(level))
        return 1

    def _move(self, outcome: str, version: int, flat: Sequence[bytes]) -> None:
        held, shipped = self._units("held"), self._units("shipped")
        for name, by_held, by_shipped in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            sku = name.decode()
            held[sku] = held.get(sku, 0) + int(by_held)
            shipped[sku] = shipped.get(sku, 0) + int(by_shipped)
        if outcome == "released":
            self.leave_tombstone()
            self._apply(version, outcome, (), {})
        else:
            left = _json(_above_0(shipped))
            self._apply(version, outcome, (), _above_0(held), "shipped", left)

    def leave_tombstone(self) -> None:
        """The answer to a reservation that comes later: the order is gone, it takes nothing."""
        self.entry("HSETNX", "reserve", _answer("closed"))

    def _apply(
        self,
        version: int,
        outcome: str,
        rows: Sequence[Row],
        held: Mapping[str, int],
        *fields: Argument,
    ) -> bytes:
        reply = _answer(outcome, rows)
        self._write_levels(rows)
        kept = b"%d %s" % (version, reply)
        self._write_entry(held, "applied", version, version % ANSWERS, kept, *fields)
        return reply

    def _changed(
        self,
        sku: str,
        units: int,
        on_hand_change: int,
        reserved_change: int,
        most: float = math.inf,
    ) -> tuple[Row, bool]:
        """A SKU after a change; as it is, and False, where P1 forbids the change."""
        on_hand, reserved, version = self._level(sku)
        new_on_hand, new_reserved = on_hand + on_hand_change, reserved + reserved_change
        available = new_on_hand - new_reserved
        oversells = available < min(0, on_hand - reserved)
        if new_reserved < 0 or oversells or new_on_hand > most:
            return (sku, units, on_hand, reserved, version, False, 0, 0), False
        depleted = available == 0 and reserved < on_hand
        after = (new_on_hand, new_reserved, version + 1, depleted)
        return (sku, units, *after, on_hand_change, reserved_change), True

    def _level(self, sku: str) -> tuple[int, int, int]:
        on_hand, reserved, version = map(int, self._stored(sku).split())
        return on_hand, reserved, version

    def _stored(self, sku: str) -> bytes:
        return _bytes_of(self._redis.execute("HGET", self._levels, sku) or b"0 0 0")

    def _write_levels(self, rows: Sequence[Row]) -> None:
        for sku, _, on_hand, reserved, version, *_ in rows:
            self._redis.execute("HSET", self._levels, sku, f"{on_hand} {reserved} {version}")

    def _write_entry(self, held: Mapping[str, int], *fields: Argument) -> None:
        """An entry that holds nothing may be forgotten once nothing of its order can come again."""
        self.entry("HSET", "held", _json(held), *fields)
        self.entry("PERSIST") if held else self.entry("PEXPIRE", self._remember_ms)

    def _units(self, field: str) -> dict[str, int]:
        units: dict[str, int] = from_json(self.entry("HGET", field) or b"{}")
        return units

    def entry(self, command: str, *args: Argument) -> Any:
        return self._redis.execute(command, self._asker, *args)

    def _pairs(self) -> list[tuple[str, int]]:
        flat = self._args[1:]
        return [(s.decode(), int(n)) for s, n in zip(flat[::2], flat[1::2], strict=True)]


def _stock(redis: MemoryRedis, keys: Sequence[bytes], args: Sequence[bytes]) -> bytes:
    run = Stock(redis, keys, args)
    match args[0]:
        case b"reserve":
            return run.reserve()
        case b"set" | b"adjust" as operation:
            return run.supply(counted=operation == b"set")
        case b"ship":
            return run.of_version(run.ship)
        case b"return":
            return run.of_version(run.take_back)
        case b"lasts":
            return run.lasts()
    return run.of_version(run.release)


def _restore_stock(redis: MemoryRedis, keys: Sequence[bytes], args: Sequence[bytes]) -> bytes | int:
    operation, remember_ms, *rest = args
    run = Stock(redis, (keys[0], keys[0]), (operation, remember_ms, b"0"))
    return run.restore(operation, rest)


def _answer(outcome: str, rows: Sequence[Row] = ()) -> bytes:
    return json.dumps([outcome, rows]).encode()


def _json(units: Mapping[str, int]) -> bytes:
    return json.dumps(units).encode()


def _above_0(units: Mapping[str, int]) -> dict[str, int]:
    return {sku: n for sku, n in units.items() if n > 0}


def _bytes_of(stored: Any) -> bytes:
    assert isinstance(stored, bytes)
    return stored


def _beside(module: Any, name: str) -> Script:
    return Script(Path(module.__file__).with_name(name))


TWINS: Mapping[Script, Twin] = {
    _beside(shared.partition_store, "claim.lua"): _claim,
    _beside(shared.partition_store, "commit.lua"): commit,
    _beside(shared.partition_store, "held.lua"): _held,
    _beside(shared.clock, "clock_read.lua"): _read_clock,
    _beside(services.inventory.store, "stock.lua"): _stock,
    _beside(services.inventory.store, "stock_restore.lua"): _restore_stock,
    _beside(services.payment.store, "tally.lua"): tally,
}
"""Every script that a partition task runs."""
