"""The system in memory: all services, each as processes with the very tasks of a running one."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import count
from random import Random
from typing import Any, cast

from redis.exceptions import ConnectionError as RedisConnectionError

from services.deadlines.app import build as build_deadlines
from services.deadlines.clock import due_event
from services.deadlines.store import ledger_key, read_heads, read_ledger
from services.fulfillment.app import build as build_fulfillment
from services.inventory.app import build as build_inventory
from services.inventory.store import all_holdings, all_levels
from services.payment.app import build as build_payment
from services.simulator.accounts import counted
from services.simulator.fate import Fate
from services.simulator.loop import VirtualLoop
from services.simulator.memory_redis import Kept, MemoryRedis, connect_to
from services.simulator.network import Beside, Server
from services.simulator.provider import MemoryProvider
from services.simulator.scripts import TWINS
from services.simulator.topics import Consumer, MemoryLog, MemoryReader, Topics
from shared.batch import Desk
from shared.books.inputs import Acknowledged
from shared.books.reading import audit
from shared.books.result import Books
from shared.calls import Bug, Caller
from shared.clock import BusinessClock, from_ms
from shared.decode import Decoder
from shared.errors import RefusedStart, TransientError
from shared.log_reader import LogReader
from shared.partition import MAX_DUE, PartitionTask, look_at_tokens
from shared.partition_store import PartitionStore
from shared.policy import Policies
from shared.rest import Part, Rest
from shared.service import Service

BUILDS = (build_inventory, build_payment, build_fulfillment, build_deadlines)
PROCESSES = 2
"""Of each service: as many as it takes for a partition to have another owner."""
LAG_S = (1, 60, 1_800, 90_000)
"""How long a topic's records may be late at most: beyond the hold, beyond parking (25 hours)."""
BACK_S = (1, 12, 600)
"""How long a dead process, a stalled one and an outage may last at most."""
DELIVERY_MS = (0, 2, 20)
BATCHES = (1, 3, 50)
"""Records of a topic that come together at most."""
COPIES = 0.1
"""Of all steps, those after which a Redis has written to disk what it holds, to go back to."""
SLOW_TOPICS, TIMES_SLOW = 0.2, 12.0
"""Of all topics that a service reads, those that lag behind the others again and again."""
REOPEN_S = 1.0
AGAIN_S = 0.5
"""After a failed look into the ledger."""
ASK_AGAIN_MAX_S = 10_800.0
"""Between two tries of a call at most: every 5 minutes for 30 days would be all that a run does."""
LOOK_MS = 1_000
"""How long it may take a worker to look at its tasks' tokens again."""


class Process:
    """One worker process of a service: its consumer, and the tasks of what it holds."""

    def __init__(self, group: "Group", name: str) -> None:
        self.name = name
        self.tasks: dict[int, PartitionTask[Any]] = {}
        self.log = MemoryLog(group.system.topics, group.system.kafka)
        self._group = group
        self._fate = group.system.fate
        self._held: dict[int, asyncio.Task[None]] = {}
        self._beside: list[asyncio.Task[None]] = []
        self._armed = asyncio.Event()
        self._went_back = asyncio.Event()
        self._alive = False
        self._caller: Caller | None = None

    def start(self) -> None:
        """Begin to live, and open what the group says that it holds."""
        self._alive = True
        system = self._group.system
        self._redis = connect_to(self._group.redis, self._group.server)
        self._clock = BusinessClock(connect_to(system.clock_redis, system.clock_server))
        self._beside = [system.begin(self._look(), self.name)]
        self._caller = None
        if calls := self._group.service.calls:
            self._caller = Caller(calls, system, self._step, ASK_AGAIN_MAX_S, hear=system.hear)
            self._beside.append(system.begin(self._caller.run(), f"{self.name} calls"))
        if self._group.service.name == "deadlines":
            self._beside.append(system.begin(self._sweep(), self.name))
        self.hold(self._group.assigned_to(self))

    def hold(self, partitions: Sequence[int]) -> None:
        """Hold these partitions and no others, as far as this process knows."""
        if not self._alive:
            return
        for partition in [p for p in self._held if p not in partitions]:
            self._held.pop(partition).cancel()
            self._forget(partition)
        for partition in partitions:
            if partition not in self._held:
                name = f"{self.name}:{partition}"
                self._held[partition] = self._group.system.begin(self._keep_open(partition), name)

    def die(self) -> None:
        """End at once, wherever it is; what it had sent is on its way all the same."""
        self.hold(())
        self._alive = False
        for beside in self._beside:
            beside.cancel()

    def suspect(self) -> None:
        """Its Redis may have gone back: look soon."""
        self._went_back.set()

    async def _look(self) -> None:
        """Look at the tokens of idle tasks, as a worker does every second.

        In virtual time it need not look again and again: only when its Redis went back, until each
        task was looked at, or was busy with more than it knew then.
        """
        while True:
            await self._went_back.wait()
            await asyncio.sleep(self._fate.seconds(LOOK_MS))
            with suppress(TransientError):
                tasks = list(self.tasks.values())
                looked = all(task.idle for task in tasks)
                await look_at_tokens(self._redis, tasks)
                if looked:
                    self._went_back.clear()

    # -- one partition ------------------------------------------------------------------------

    async def _keep_open(self, partition: int) -> None:
        """A task after the other: what is lost is opened again."""
        system, inputs = self._group.system, self._group.service.inputs
        while True:
            consumer = self.log.consumers[partition] = Consumer(system.topics, inputs, partition)
            task = self.tasks[partition] = self._task(partition)
            delivering = system.begin(self._deliver(consumer, task), f"{self.name} reads")
            try:
                await task.run()
            except TransientError as error:
                system.note(f"{self.name} loses partition {partition}: {error}")
            except RefusedStart as error:
                system.refuse(f"{self.name} refuses partition {partition}: {error}")
                self._forget(partition)
                return
            finally:
                delivering.cancel()
                consumer.close()
            self._forget(partition)
            await asyncio.sleep(REOPEN_S)

    def _task(self, partition: int) -> PartitionTask[Any]:
        system, service = self._group.system, self._group.service
        return PartitionTask(
            Desk(service, system.policies, partition, system.topics.partitions),
            Decoder(service.name, service.reads, system.topics.partitions),
            PartitionStore(self._redis, service.name, partition),
            self.log,
            self._clock,
            self._step,
            self._caller,
            f"claim-{next(system.claims)}",
        )

    def _forget(self, partition: int) -> None:
        self.tasks.pop(partition, None)
        self.log.consumers.pop(partition, None)

    async def _deliver(self, consumer: Consumer, task: PartitionTask[Any]) -> None:
        """Hand records to the task, in some interleaving of its topics."""
        system, fate = self._group.system, self._fate
        while True:
            names = consumer.readable()
            if not names or not task.opened:
                consumer.woken.clear()
                await consumer.woken.wait()
                continue
            await asyncio.sleep(fate.seconds(*DELIVERY_MS))
            names = consumer.readable()
            fate.random.shuffle(names)
            for name in names[: fate.random.randint(1, len(names))] if names else ():
                where = f"{name}:{consumer.partition} to {self.name}"
                if fate.strikes("lag", where, self._group.slowness[name]):
                    consumer.lag(name)
                    late_s = fate.seconds(*(1000 * s for s in LAG_S))
                    system.later(late_s, consumer.catch_up)
                elif records := consumer.take(name, fate.random.randint(1, fate.pick(*BATCHES))):
                    task.offer(records)
                    if task.holds_until:
                        task.note_handed_out({n: consumer.next[n] for n in task.holds_until})

    async def _step(self, step: str) -> None:
        """Between any two steps of a task its process may die, or stand still for a while."""
        system, fate = self._group.system, self._fate
        system.steps += 1
        self._armed.set()
        if fate.strikes("crash", f"{self.name} at {step}"):
            self._group.lose(self)
            await asyncio.get_running_loop().create_future()
        if fate.strikes("rebalance", self._group.service.name):
            self._group.rebalance()
        self._group.suffer()
        for consumer in self.log.consumers.values():
            if fate.strikes("redelivery", self.name):
                name = fate.pick(*consumer.next)
                consumer.seek({name: fate.pick(0, fate.random.randint(0, consumer.next[name]))})
        if fate.strikes("stall", f"{self.name} at {step}"):
            await asyncio.sleep(fate.seconds(*(1000 * s for s in BACK_S)))

    # -- deadlines only -----------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Hand what is due to the open tasks, as `services.deadlines.clock.sweep` does.

        In virtual time it need not look again and again: it is woken by what may have changed.
        """
        while True:
            self._armed.clear()
            sleep_s: float | None = None
            try:
                now_ms = await self._clock.read()
                ready = [p for p, task in self.tasks.items() if task.wants_due]
                heads = await read_heads(self._redis, ready, now_ms, MAX_DUE)
                for partition, head in heads.items():
                    if task := self.tasks.get(partition):
                        task.offer_due([due_event(entry) for entry in head.due])
                nexts = [head.next_ms for head in heads.values() if head.next_ms is not None]
                if nexts:
                    sleep_s = (min(nexts) - self._group.system.now_ms()) / 1000
            except TransientError:
                sleep_s = AGAIN_S
            await _woken(self._armed, sleep_s)


class Group:
    """The processes of one service, and which of its partitions each of them holds."""

    def __init__(self, system: "System", service: Service[Any]) -> None:
        self.system = system
        self.service = service
        self.server = Server(f"Redis of {service.name}", system.fate, RedisConnectionError)
        self.redis = MemoryRedis(system.now_ms, TWINS)
        self.client = connect_to(self.redis, Beside())
        self.processes = [Process(self, f"{service.name}-{n}") for n in range(PROCESSES)]
        self.slowness = {
            name: TIMES_SLOW if system.fate.random.random() < SLOW_TOPICS else 1.0
            for name in service.inputs
        }
        self._owners: dict[int, Process] = {}
        self._kept: Kept | None = None

    def start(self) -> None:
        """Give the partitions out, and start all processes."""
        self._assign()
        for process in self.processes:
            process.start()

    def assigned_to(self, process: Process) -> list[int]:
        """The partitions that a process holds, as the group knows it."""
        return [p for p, owner in self._owners.items() if owner is process]

    def lose(self, process: Process) -> None:
        """A process dies, and is started again after a while."""
        process.die()
        back_s = self.system.fate.seconds(*(1000 * s for s in BACK_S))
        self.system.later(back_s, process.start)

    def rebalance(self) -> None:
        """Partitions move; who does not notice is a zombie, which goes on for a while."""
        self._assign()
        for process in self.processes:
            if self.system.fate.strikes("zombie", process.name):
                late_s = self.system.fate.seconds(*(1000 * s for s in BACK_S))
                self.system.later(late_s, self._tell, process)
            else:
                self._tell(process)

    def suffer(self) -> None:
        """Its Redis, or Kafka, may be away for a while, for everybody; or that Redis goes back."""
        for kind, server in (("redis away", self.server), ("kafka away", self.system.kafka)):
            if self.system.fate.strikes(kind, server.name):
                server.away = True
                back_s = self.system.fate.seconds(*(1000 * s for s in BACK_S))
                self.system.later(back_s, server.come_back)
        kept = self._kept if self._kept and self._knows(self._kept) else None
        if kept and self.system.fate.strikes("redis rollback", self.server.name):
            self.redis.go_back(kept)
            for process in self.processes:
                process.suspect()
        elif self.system.fate.random.random() < COPIES:
            self._kept = self.redis.copy()

    def _knows(self, kept: Kept) -> bool:
        """Whether it has a commit of some partition, if any has one now: else it looks empty."""
        none, (values, _) = (None, b"0"), kept
        metas = [f"{{{self.service.name}:{p}}}:meta" for p in range(self.system.topics.partitions)]
        known = [values.get(meta.encode(), {}).get(b"commit") for meta in metas]
        now = [self.redis.execute("HGET", meta, "commit") for meta in metas]
        return any(commit not in none for commit in known) or all(commit in none for commit in now)

    def tell_all(self) -> None:
        """Let every process know what it holds, and nothing be late any more."""
        for process in self.processes:
            self._tell(process)
            for consumer in process.log.consumers.values():
                consumer.catch_up()

    def _tell(self, process: Process) -> None:
        process.hold(self.assigned_to(process))

    def _assign(self) -> None:
        random = self.system.fate.random
        for p in range(self.system.topics.partitions):
            self._owners[p] = self.processes[random.randrange(len(self.processes))]


class System:
    """Kafka, a Redis for each service, and all their processes, on a loop in virtual time.

    `refused` is why tasks do not go on, `failed` what went wrong in a way that nothing may. With
    `outside` payment calls a provider, which draws from that what it does by itself.
    """

    def __init__(
        self, fate: Fate, begin_ms: int, partitions: int, outside: Random | None = None
    ) -> None:
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._raised)
        self.fate = fate
        self.policies = Policies()
        self.begin_ms = begin_ms
        fate.now_ms = self.now_ms
        self.topics = Topics(partitions, self.now_ms)
        self.kafka = Server("Kafka", fate, TransientError)
        self.clock_redis = MemoryRedis(self.now_ms, TWINS)
        self.clock_server = Server("Redis of the clock", fate, RedisConnectionError)
        self.provider = MemoryProvider(fate, self.now_ms, outside) if outside else None
        self.groups = [Group(self, self._calling(build())) for build in BUILDS]
        self.steps = 0
        self.claims = count(1)
        self.refused: list[str] = []
        self.failed: list[str] = []
        self.notes: list[tuple[int, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        clock = BusinessClock(connect_to(self.clock_redis, Beside()))
        parts = [Part(group.service, group.client) for group in self.groups]
        reader = cast("LogReader", MemoryReader(self.topics))
        self.rest = Rest(parts, reader, clock, ledger_key)

    def now_ms(self) -> int:
        """The time, wall and business alike, in ms since 1970."""
        return self.begin_ms + self.loop.now_ms()

    def now(self) -> datetime:
        """The same as an instant: callers have no way to a clock that could be late."""
        return from_ms(self.now_ms())

    def start(self) -> None:
        """Start all processes; call it on the running loop."""
        for group in self.groups:
            group.start()

    def later(self, after_s: float, do: Callable[..., object], *args: Any) -> None:
        """Have something done after a time."""
        self.loop.call_later(after_s, do, *args)

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Have something done beside the rest; an error that nothing may raise is kept."""
        task = self.loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def note(self, sentence: str) -> None:
        """Remember what happened, and when."""
        self.notes.append((self.now_ms(), sentence))

    def refuse(self, sentence: str) -> None:
        """A task found that going on would be unsafe."""
        self.note(sentence)
        self.refused.append(sentence)

    def hear(self, bug: Bug) -> None:
        """A bug about a call: no promise shows it."""
        self.failed.append(f"{bug.what}: {bug.call.id}: {bug.error!r}")

    async def books(self, acknowledged: Sequence[Acknowledged]) -> Books:
        """The very audit of a running system."""
        inventory, deadlines = self.groups[0].client, self.groups[-1].client
        return await audit(
            self.rest,
            read_ledger=lambda partition: read_ledger(deadlines, partition),
            levels=all_levels(inventory),
            holdings=all_holdings(inventory),
            acknowledged=acknowledged,
            moves=counted(self.provider) if self.provider else None,
        )

    def make_peace(self) -> None:
        """From now on no fault comes, and what faults have left behind ends."""
        self.fate.safe = True
        servers = [self.kafka, self.clock_server, *(group.server for group in self.groups)]
        if self.provider is not None:
            servers.append(self.provider.lines)
        for server in servers:
            server.come_back()
        for group in self.groups:
            group.tell_all()

    def _calling(self, service: Service[Any]) -> Service[Any]:
        if self.provider is None or service.name != "payment":
            return service
        return replace(service, calls=self.provider.calls())

    def _raised(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Nothing that is done at its time may raise: whoever waits for it would wait for ever."""
        self.failed.append(f"{context['message']}: {context.get('exception')!r}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed.append(f"{task.get_name()}: {error!r}")


async def _woken(event: asyncio.Event, within_s: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()
