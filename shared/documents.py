"""One subject's document: a service's state with what the partition task keeps around it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, Self, TypeVar

from pydantic import Field, TypeAdapter
from pydantic_core import to_json

from shared.events.envelope import OpenDeadline
from shared.events.fields import Instant, Model
from shared.events.parking import PARKED, ParkedRecord
from shared.packing import pack, unpack
from shared.retention import JOURNAL_READABLE_MS

MAX_SEEN = 32
"""Ids of outside events kept per subject: a repeat among the last 32 is no news."""
MAX_FAILED = 32
"""Versions kept, per publisher, of facts that failed: a bug that meets more is not mended by
replaying them one by one."""
LINGER_MS = JOURNAL_READABLE_MS
"""How long a document lingers that only latecomers and replays can ask for: as long as a fact of a
journal can be read again. The count of its facts goes on."""


class State(Model):
    """A service's state of one subject; the task needs to know the deadlines that it waits for."""

    deadlines: tuple[OpenDeadline, ...] = ()

    @property
    def lingers(self) -> bool:
        """Whether only latecomers and replays still ask for it: it need not stay for ever."""
        return False


S = TypeVar("S", bound=State)


class Op(NamedTuple):
    """One Redis write of a commit: a command, its one key, its other arguments."""

    command: str
    key: str
    args: tuple[str | bytes | int, ...] = ()


class Document(NamedTuple, Generic[S]):
    """A subject's state and envelope.

    `version` counts the subject's facts; `time` is the latest time of its inputs; `passed` are the
    versions of other services' facts already applied, but for those `failed`, which are news when
    they come again; `seen` the ids of the last outside events. It is copied at each fact, and a
    named tuple's `_replace` takes a fraction of a dataclass's time.
    """

    subject: str
    state: S | None = None
    version: int = 0
    time: datetime | None = None
    correlation_id: str | None = None
    passed: Mapping[str, int] = {}
    failed: Mapping[str, tuple[int, ...]] = {}
    seen: tuple[str, ...] = ()
    parked: tuple[ParkedRecord, ...] = ()

    @property
    def deadlines(self) -> tuple[OpenDeadline, ...]:
        """The subject's open deadlines: the state's, and the end of parking where events wait."""
        own = self.state.deadlines if self.state is not None else ()
        if not self.parked:
            return own
        until = min(record.until for record in self.parked)
        return (*own, OpenDeadline.model_construct(kind=PARKED, due=until))

    def after_seeing(self, unique_id: str) -> Self:
        """The document once an event from outside was decided."""
        return self._replace(seen=(*self.seen, unique_id)[-MAX_SEEN:])

    def after_passing(self, publisher: str, version: int) -> Self:
        """The document once a fact of ours was decided, even one that failed or waited before."""
        passed = {**self.passed, publisher: max(version, self.passed.get(publisher, 0))}
        if version not in self.failed.get(publisher, ()):
            return self._replace(passed=passed)
        left = tuple(v for v in self.failed[publisher] if v != version)
        failed = {**self.failed, publisher: left}
        return self._replace(passed=passed, failed={n: v for n, v in failed.items() if v})

    def after_failing(self, publisher: str, version: int) -> Self:
        """The document once deciding a fact of ours failed."""
        versions = (*self.failed.get(publisher, ()), version)[-MAX_FAILED:]
        return self._replace(failed={**self.failed, publisher: versions})

    @property
    def lingers(self) -> bool:
        """Whether Redis may drop it in time: of a state that lingers, or of what never was."""
        return not self.parked and (self.state is None or self.state.lingers)


class _Stored(Model, Generic[S]):
    """A document as it lies in Redis."""

    version: int
    time: Instant | None = None
    correlation_id: str | None = None
    passed: dict[str, int] = Field(default_factory=dict)
    failed: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    seen: tuple[str, ...] = ()
    parked: tuple[ParkedRecord, ...] = ()
    state: S | None = None


WallMs = Callable[[int], int | None]
"""From business ms to wall ms; None while the clock as it stands never gets there."""


class Documents(Generic[S]):
    """The documents of one service in Redis: JSON, packed, under the partition's hash tag."""

    def __init__(self, service: str, state: type[S]) -> None:
        self._service = service
        self._state = TypeAdapter(state).serializer
        self._stored = _Stored[state]  # type: ignore[valid-type]

    def key(self, partition: int, subject: str) -> str:
        """The document's key: `{SERVICE:PARTITION}:doc:SUBJECT`."""
        return f"{{{self._service}:{partition}}}:doc:{subject}"

    @property
    def pattern(self) -> str:
        """What the keys of all documents match, for a SCAN."""
        return f"{{{self._service}:*}}:doc:*"

    def place(self, key: str) -> tuple[int, str]:
        """The partition and the subject of a document's key."""
        tag, _, subject = key.partition(":doc:")
        return int(tag[1:-1].rpartition(":")[2]), subject

    def dump_state(self, state: S | None) -> bytes:
        """The state as JSON, for the document and, where it is public, for the wire."""
        return b"null" if state is None else self._state.to_json(state, exclude_none=True)

    def read(self, subject: str, stored: bytes | None) -> Document[S]:
        """A document from what was stored; a new one from None."""
        if stored is None:
            return Document(subject)
        read = self._stored.model_validate_json(unpack(stored))
        return Document(
            subject=subject,
            state=read.state,
            version=read.version,
            time=read.time,
            correlation_id=read.correlation_id,
            passed=read.passed,
            failed=read.failed,
            seen=read.seen,
            parked=read.parked,
        )

    def write(
        self,
        partition: int,
        before: Document[S],  # noqa: ARG002 - stores that keep more than the document compare
        after: Document[S],
        wall_ms: WallMs,  # noqa: ARG002 - stores that keep TTL keys translate
        state: bytes | None = None,
    ) -> Sequence[Op]:
        """The writes that make `after` of `before`; `state` is its JSON where that is known."""
        head: dict[str, object] = {"version": after.version}
        head |= {
            name: value
            for name, value in (
                ("time", after.time),
                ("correlation_id", after.correlation_id),
                ("passed", after.passed),
                ("failed", after.failed),
                ("seen", after.seen),
                ("parked", [record.model_dump(mode="json") for record in after.parked]),
            )
            if value
        }
        body = self.dump_state(after.state) if state is None else state
        stored = to_json(head)[:-1] + b',"state":' + body + b"}"
        expiry = ("PX", LINGER_MS) if after.lingers else ()
        return [Op("SET", self.key(partition, after.subject), (pack(stored), *expiry))]
