"""All that a service has in Redis, read so that what a rebuild may rightly change is left out."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from redis import Redis

from shared.packing import unpack

KEYS = {
    "inventory": ("{inventory:*", "{stock:*"),
    "payment": ("{payment:*", "{tally:*"),
    "fulfillment": ("{fulfillment:*",),
    "deadlines": ("{deadlines:*",),
}
"""The keys of each service."""


def keys_of(redis: Redis, service: str) -> list[bytes]:
    """The keys of a service, in order."""
    return sorted(key for pattern in KEYS[service] for key in redis.scan_iter(pattern, count=1_000))


def stored(redis: Redis, service: str) -> Mapping[str, Any]:
    """What a service has in Redis, by key, normalised."""
    found = {key.decode(): _read(redis, key) for key in keys_of(redis, service)}
    return {key: _normal(key, value) for key, value in found.items() if _compared(key)}


def positions(redis: Redis, service: str) -> Mapping[str, Any]:
    """The next offsets of a service's inputs, by the partition's key."""
    keys = [key for key in keys_of(redis, service) if key.endswith(b":meta")]
    found: Any = {key: redis.hgetall(key) for key in keys}
    return {
        key.decode(): {name: at for name, at in meta.items() if name.startswith(b"next:")}
        for key, meta in found.items()
    }


def _compared(key: str) -> bool:
    """The token is random; commits without facts are counted and not published; positions of
    inputs that led to nothing are read again, and are compared at rest.
    """
    return not key.endswith((":fence", ":meta"))


def _read(redis: Redis, key: bytes) -> Any:
    kind: Any = redis.type(key)
    match kind:
        case b"string":
            return redis.get(key)
        case b"hash":
            return redis.hgetall(key)
        case b"zset":
            return redis.zrange(key, 0, -1, withscores=True)
    return redis.lrange(key, 0, -1)


def _normal(key: str, value: Any) -> Any:
    if key.startswith("{stock:") and ":command:" in key:
        return "answered"  # what its facts tell is published: a repeat needs no more than a no
    if key.startswith("{stock:") and ":order:" in key:
        return _entry(value)
    if key.startswith("{deadlines:") and ":doc:" in key:
        # For tracing: of the first of its two inputs that was read, and which that was is chance.
        return {name: v for name, v in from_json(unpack(value)).items() if name != "correlation_id"}
    return value


def _entry(fields: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """An entry without the rows of its answers, which its published levels tell, and without the
    answers that changed nothing, of which there is no fact.
    """
    entry: dict[str, Any] = {}
    for name, value in fields.items():
        if name in (b"held", b"shipped"):
            if units := from_json(value):
                entry[name.decode()] = units
        elif name == b"placed_by":
            entry["placed_by"] = value
        elif name == b"reserve":
            entry["reserve"] = from_json(value)[0]
    return entry
