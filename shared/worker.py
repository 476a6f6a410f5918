"""A service's process: its consumer hands records to partition tasks, an opener keeps these open.

The FastStream handler only hands over and returns. The rebalance listener only closes tasks: the
opener opens them, woken by an assignment and then every second, so that a quiet partition's outbox
and deadlines live too.
"""

import asyncio
import dataclasses
import gc
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker, KafkaMessage

from shared import kafka
from shared.batch import Desk
from shared.calls import Caller
from shared.clock import BusinessClock
from shared.decode import Decoder, Record
from shared.errors import OrderflowError, RefusedStart, TransientError
from shared.events.deadlines import DEADLINES_EVENTS
from shared.events.envelope import Fact
from shared.health import Health, serve_health
from shared.kafka_log import KafkaLog
from shared.partition import PartitionTask, Step, look_at_tokens, no_step
from shared.partition_store import PartitionStore
from shared.policy import Policies
from shared.process import EXIT_REFUSED, run_process, until_one_ends
from shared.redis import connect, trip
from shared.service import Call, Service
from shared.settings import Settings
from shared.standstill import Seen, Standstill
from shared.tracing import traces_of

OPEN_INTERVAL_S = 1.0
"""How often partitions without a task are looked for; an assignment wakes the opener at once."""
REOPEN_WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Before a partition is tried again whose task failed once, twice …; the last for all further. The
end of an outage of Redis ends them: it is looked for every second."""
OFFSETS_INTERVAL_S = 5.0
"""How often Kafka's own offsets are committed; only lag tools read them."""
STUCK_S = 60.0
"""Kafka and Redis answer, a partition's records wait, and none of them was decided for so long: the
client is stuck there, or its opening fails for ever, whatever the process does elsewhere, and only
a new one can help."""
CLOSE_TIMEOUT_S = 3.0
STOP_TIMEOUT_S = 4.0
"""With a dead broker nothing acks: tasks, then clients are given up after these. Together below
10 s, whatever is down."""
PROBE_KEPT_S = 60
"""What is written to find out whether Redis takes it."""
GARBAGE_THRESHOLDS = (50_000, 5, 100)
"""Of Python's collector: documents and facts hold no cycles, so it finds next to nothing. With its
own (700, 10, 10) it took up to a quarter of a worker's CPU to look through what is in memory."""
EXIT_STUCK = 4

_log = structlog.get_logger()

Beside = Callable[["Worker"], Coroutine[Any, Any, None]]
"""What runs beside a worker's tasks, until it is cancelled."""


class _Closer(ConsumerRebalanceListener):
    """Closes tasks when partitions move; never waits, never fails."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002
        self._worker.revoked()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._worker.assigned(assigned)


class Worker:
    """The tasks of one process of one service."""

    def __init__(
        self,
        service: Service[Any],
        policies: Policies,
        settings: Settings,
        partitions: int,
        step: Step = no_step,
    ) -> None:
        self.service = service
        self.partitions = partitions
        self.redis = connect(settings.redis_url)
        self._clock_redis = connect(settings.clock_redis_url)
        self.clock = BusinessClock(self._clock_redis)
        self.tasks: dict[int, PartitionTask[Any]] = {}
        self.counts: Counter[str] = Counter()
        self.health = Health(service.name)
        self.fatal: tuple[str, int] | None = None
        self.ended = asyncio.Event()
        self._policies = policies
        self._servers = kafka.servers_of(settings)
        self._step = step
        self._running: dict[int, asyncio.Task[None]] = {}
        self._assigned: Collection[TopicPartition] = ()
        self._failures: Counter[int] = Counter()
        self._not_before: dict[int, float] = {}
        self._wake = asyncio.Event()
        self._decoder = Decoder(service.name, service.reads, partitions)
        self._broker = kafka.broker_of(self._servers)
        self._subscriber = self._subscribe(self._broker)
        self.log = KafkaLog(self._broker, lambda: self._subscriber.consumer, self._servers)
        self._traces = traces_of(service.name, settings, self.clock.wall_ms)
        self._caller = Caller(service.calls, self.clock, step, traces=self._traces)
        self._read_before: dict[int, int] = {}

    def _subscribe(self, broker: KafkaBroker) -> Any:
        subscriber = broker.subscriber(
            *self.service.inputs,
            batch=True,
            group_id=kafka.group_of(self.service.name),
            max_records=kafka.MAX_RECORDS,
            batch_timeout_ms=kafka.BATCH_TIMEOUT_MS,
            fetch_max_wait_ms=kafka.FETCH_MAX_WAIT_MS,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=kafka.SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=kafka.HEARTBEAT_MS,
            rebalance_timeout_ms=kafka.REBALANCE_TIMEOUT_MS,
            partition_assignment_strategy=(RangePartitionAssignor,),
            listener=_Closer(self),
            parser=_untouched,
            decoder=_as_it_is,
        )
        subscriber(self._handle)
        return subscriber

    # -- the process --------------------------------------------------------------------------

    async def run(self, *beside: Beside) -> None:
        """Work until `ended` is set or something fatal is found."""
        async with AsyncExitStack() as stack:
            if self._traces is not None:
                stack.push_async_callback(self._traces.close)
            stack.push_async_callback(self.log.close)
            stack.push_async_callback(self.redis.aclose)
            stack.push_async_callback(self._clock_redis.aclose)
            for close in {call.close for call in self.service.calls.values() if call.close}:
                stack.push_async_callback(close)
            loops = [self.clock.run(), self._open_tasks(), self._commit_offsets(), self._watch()]
            loops += [self._look_at_redis(), self._caller.run()]
            loops += [other(self) for other in beside]
            await self._broker.start()
            try:
                await until_one_ends(*loops, self.ended.wait())
            finally:
                await self._stop()

    def end(self, why: str, exit_code: int) -> None:
        """End the process: going on would be unsafe, or useless."""
        if self.fatal is None:
            self.fatal = (why, exit_code)
            _log.error("ending", reason=why)
        self.ended.set()

    async def _stop(self) -> None:
        """Close the tasks, then the broker, whatever is down."""
        for task in self.tasks.values():
            task.close()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=CLOSE_TIMEOUT_S)
        self.drop(set(self._running))
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._broker.stop()

    # -- records ------------------------------------------------------------------------------

    async def _handle(self, message: KafkaMessage) -> None:
        """Hand records to the tasks of their partitions; those of an unopened one come again."""
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        records: Sequence[Record] = message.raw_message  # type: ignore[assignment]
        for record in records:
            by_partition[record.partition].append(record)
        for partition, own in by_partition.items():
            task = self.tasks.get(partition)
            if task is not None and task.opened:
                task.offer(own)
                await self._note_handed_out(task)

    async def _note_handed_out(self, task: PartitionTask[Any]) -> None:
        """Tell a task that holds deadlines how far its consumer is: nothing is polled meanwhile."""
        if task.holds_until:
            with suppress(TransientError, KafkaError):
                task.note_handed_out(await self.log.passed(task.holds_until, task.partition))

    # -- tasks --------------------------------------------------------------------------------

    def revoked(self) -> None:
        """A rebalance begins: it takes all partitions, and who held them opens none meanwhile."""
        self._assigned = ()
        self.drop(set(self._running))

    def assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Partitions came: nothing is read of them until their task is open."""
        self._assigned = assigned
        for tp in assigned:
            self.log.pause([tp.topic], tp.partition)
        self._wake.set()

    def drop(self, partitions: Collection[int]) -> None:
        """End tasks where they are; what they had committed is found by whoever opens next."""
        for partition in partitions:
            if task := self.tasks.pop(partition, None):
                self.counts += task.counts
            if running := self._running.pop(partition, None):
                running.cancel()

    async def _open_tasks(self) -> None:
        while True:
            self._reap()
            for partition in self._held() - self._running.keys():
                if time.monotonic() >= self._not_before.get(partition, 0.0):
                    self._open(partition)
            held = self._held()
            self.health.tick({p: self._state(p) for p in held})
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(OPEN_INTERVAL_S):
                    await self._wake.wait()

    def _state(self, partition: int) -> str:
        task = self.tasks.get(partition)
        return "open" if task is not None and task.opened else "opening"

    def _held(self) -> set[int]:
        """Partitions of which this member holds every input.

        The consumer itself goes on naming the old ones until a rebalance ends.
        """
        held = defaultdict(set)
        for tp in self._assigned:
            held[tp.partition].add(tp.topic)
        inputs = set(self.service.inputs)
        return {partition for partition, topics in held.items() if topics >= inputs}

    def _open(self, partition: int) -> None:
        task: PartitionTask[Any] = PartitionTask(
            Desk(self.service, self._policies, partition, self.partitions),
            self._decoder,
            PartitionStore(self.redis, self.service.name, partition),
            self.log,
            self.clock,
            self._step,
            self._caller,
            traces=self._traces,
        )
        self.tasks[partition] = task
        self._read_before[partition] = self.log.read
        running = asyncio.create_task(task.run(), name=f"{self.service.name}:{partition}")
        running.add_done_callback(lambda _: self._wake.set())
        self._running[partition] = running
        _log.debug("opening", partition=partition)

    def _reap(self) -> None:
        """Look at tasks that ended: lost ones are opened again, a refusal ends the process."""
        for partition, running in list(self._running.items()):
            task = self.tasks[partition]
            if task.opened:
                self._failures.pop(partition, None)
            if not running.done():
                continue
            error = None if running.cancelled() else running.exception()
            self.log.pause(self.service.inputs, partition)
            self.drop({partition})
            if isinstance(error, RefusedStart):
                self.end(str(error), EXIT_REFUSED)
            elif error is not None:
                self._failures[partition] += 1
                nth = min(self._failures[partition], len(REOPEN_WAITS_S))
                wait_s = REOPEN_WAITS_S[nth - 1]
                self._not_before[partition] = time.monotonic() + wait_s
                expected = isinstance(error, TransientError)
                _log.warning(
                    "task lost, opening again",
                    partition=partition,
                    error=str(error) or type(error).__name__,
                    wait_s=wait_s,
                    exc_info=None if expected else error,
                )

    # -- beside the tasks ---------------------------------------------------------------------

    async def _look_at_redis(self) -> None:
        """Ask whether Redis answers, and holds what the tasks that have nothing to do know."""
        while True:
            with suppress(TransientError):
                await look_at_tokens(self.redis, list(self.tasks.values()))
                if not self.health.reaches_redis:
                    self._not_before.clear()
                    self._wake.set()
                self.health.reached_redis()
            await asyncio.sleep(OPEN_INTERVAL_S)

    async def _commit_offsets(self) -> None:
        """Tell Kafka where the tasks are, for lag tools; it decides nothing."""
        while True:
            await asyncio.sleep(OFFSETS_INTERVAL_S)
            held = self._held()
            offsets = {
                TopicPartition(topic, partition): offset
                for partition, task in self.tasks.items()
                if partition in held
                for topic, offset in (task.acked_positions or {}).items()
            }
            with suppress(KafkaError):
                if offsets:
                    await self._subscriber.consumer.commit(offsets)

    async def _watch(self) -> None:
        """End a process that is stuck with a partition for ever; an outage is waited out.

        What is counted, and what is not, is told in `shared/standstill.py`.
        """
        standstill = Standstill()
        while True:
            await asyncio.sleep(OFFSETS_INTERVAL_S)
            seen = {p: self._seen(p) for p in self._held()}
            still = standstill.still(seen)
            standstill.note(await self._waiting(still, none_goes_on=still == seen.keys()))
            most = STUCK_S / OFFSETS_INTERVAL_S
            if stuck := sorted(p for p, looks in standstill.looks.items() if looks > most):
                _log.error("nothing is consumed although records wait", partitions=stuck)
                self.end("nothing is consumed although records wait", EXIT_STUCK)

    def _seen(self, partition: int) -> Seen:
        """What grows while a partition goes on: its positions in Redis; while it opens, what is
        read of journals.

        Partitions that open take turns at reading: one that reads on is all of them.
        """
        task = self.tasks.get(partition)
        if task is None:
            return Seen()
        if task.opened:
            return Seen(committed=sum(task.stored_positions.values()))
        return Seen(opening=self._read_before[partition], read=self.log.read)

    async def _waiting(
        self, partitions: Collection[int], *, none_goes_on: bool
    ) -> Mapping[int, bool | None]:
        """Whether these have records not decided, None where Kafka or Redis does not answer.

        Kafka that answers a new client but not this worker's, for no partition and where none goes
        on, has records for all of them.
        """
        try:
            async with trip():  # it has to write: a full one, or a replica, is away as well
                await self.redis.set(f"{{{self.service.name}}}:writes", b"", ex=PROBE_KEPT_S)
            behind = await asyncio.gather(*map(self._is_behind, partitions))
            if behind and none_goes_on and all(one is None for one in behind):
                await kafka.broker_count(self._servers)
                return dict.fromkeys(partitions, True)
        except OrderflowError:
            return dict.fromkeys(partitions)
        return dict(zip(partitions, behind, strict=True))

    async def _is_behind(self, partition: int) -> bool | None:
        """Whether it has records not decided; None where Kafka does not answer for its topics."""
        task = self.tasks.get(partition)
        try:
            bounds = await self.log.bounds(_topics(self.service), partition)
            at = await self._position(partition)
        except TransientError:
            return None
        # Deadlines in hand wait for other inputs, perhaps for a transaction that has not ended.
        waits = {DEADLINES_EVENTS.name} if task and any(task.holds_until) else set()
        inputs = set(self.service.inputs) - waits
        return any(at.get(topic, 0) < bounds[topic].end for topic in inputs)

    async def _position(self, partition: int) -> Mapping[str, int]:
        """How far a task is; an idle one as far as its consumer, which passes control records."""
        task = self.tasks.get(partition)
        if task is not None and task.idle:
            return await self.log.passed(self.service.inputs, partition)
        return {} if task is None else task.stored_positions

    async def lag(self) -> Counter[str]:
        """By topic, the records that Kafka told the consumer of and no task has decided yet."""
        behind: Counter[str] = Counter()
        for partition in list(self.tasks):
            with suppress(TransientError):
                at = await self._position(partition)
                ends = self.log.known_ends(at, partition)
                behind.update({topic: max(end - at[topic], 0) for topic, end in ends.items()})
        return behind

    def unpublished(self) -> int:
        """The facts that the open tasks have committed and Kafka has not acked yet."""
        return sum(task.unpublished for task in self.tasks.values())

    def totals(self) -> Counter[str]:
        """Counts of all tasks since the process began."""
        return sum((task.counts for task in self.tasks.values()), self.counts)


async def _untouched(records: Sequence[Any], original: Any) -> Any:
    """FastStream's parser must not see headers: one that is not UTF-8 loses a batch."""
    message = await original((dataclasses.replace(records[0], headers=()),))
    message.raw_message = records
    message.body = ()
    return message


async def _as_it_is(message: KafkaMessage) -> KafkaMessage:
    return message


def _topics(service: Service[Any]) -> set[str]:
    """All topics that a service has to do with."""
    own = {*service.inputs, service.journal.name, kafka.DEAD_LETTERS}
    return own | {topic.name for topic in service.publishes}


async def work(
    service: Service[Any], settings: Settings, *beside: Beside, step: Step = no_step
) -> int:
    """Check what has to be there, then run the service until SIGTERM; the exit code."""
    policies = Policies.load(settings.policies_dir)
    topics = sorted(_topics(service))
    partitions = await kafka.checked_partitions(kafka.servers_of(settings), topics)
    worker = Worker(service, policies, settings, partitions, step)
    await worker.clock.refresh()
    gc.freeze()  # what was imported stays
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, worker.ended.set)
    async with serve_health(worker, settings):
        await worker.run(*beside)
    if worker.fatal is None:
        return 0
    sys.stderr.write(f"orderflow {service.name}: {worker.fatal[0]}\n")
    return worker.fatal[1]


Calls = Callable[[Settings], Mapping[type[Fact], Call]]


def run(service: Service[Any], *beside: Beside, calls: Calls = lambda _: {}) -> None:
    """Run a service as this process; ends it with the exit code.

    `calls` makes its calls to the outside, of what the settings say about that.
    """

    async def working(settings: Settings) -> int:
        called = dataclasses.replace(service, calls=calls(settings))
        return await work(called, settings, *beside)

    run_process(service.name, working)
