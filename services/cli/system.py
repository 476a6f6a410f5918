"""The whole system on this machine: Kafka, Redis, the topics, and each service as a process."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import Any

from services.cli.accounts import in_accounts
from services.cli.addresses import published
from services.cli.child_process import Ended, Processes
from services.cli.run import ORDER_SERVICES, ServiceName
from services.cli.server import HOST, free_port
from services.cli.stack import Servers, start_servers
from services.cli.topics import make_topics
from services.dashboard.web.access import first_way_in
from shared.errors import RefusedStart
from shared.kafka import servers_of
from shared.settings import Settings

READY_LIMIT_S = 90.0
"""For all services: 5 s on an idle machine, and one session (6 s) where members of a system that
was killed still have their place in the groups."""

POLL_S = 0.1
"""Between two questions to services that start, which takes them seconds."""

ASK_LIMIT_S = 2.0
"""For one answer about health; a process that is that busy is asked again."""


PAGES = "pages"
"""The process that serves the dashboard's pages; it tells its health at the address of these."""
INGEST = "ingest"
"""The process that takes events by HTTP; it tells its health there, too."""
SHOWN = (*ServiceName, PAGES)
"""What a demo needs: an order's life, and the pages that show it."""
EVERYTHING = (*SHOWN, INGEST)

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class System:
    """A system that runs: where it is, and its processes.

    `settings` are those of a client of it. `processes` are the services by name; one that was
    killed comes back with `start()`, at the same address. `health_ports` are on 127.0.0.1.
    """

    settings: Settings
    servers: Servers
    processes: Processes
    health_ports: Mapping[str, int]

    def health_url(self, service: str) -> str:
        """Where a person reads a service's health."""
        return f"http://{HOST}:{self.health_ports[service]}/health"

    def pages_url(self) -> str:
        """Where a person opens the dashboard: while nobody has an account, a one-time link."""
        path = in_accounts(self.settings, first_way_in) or "/"
        return f"http://{HOST}:{self.health_ports[PAGES]}{path}"

    def events_url(self) -> str:
        """Where events are taken by HTTP."""
        return f"http://{HOST}:{self.health_ports[INGEST]}/events"

    def health(self, service: str) -> dict[str, Any] | None:
        """What a service says about itself now (shared/health.py); None while it does not."""
        connection = HTTPConnection(HOST, self.health_ports[service], timeout=ASK_LIMIT_S)
        try:
            connection.request("GET", "/health")
            answer: dict[str, Any] = json.load(connection.getresponse())
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        return answer

    def ended(self) -> tuple[Ended, ...]:
        """Those servers and services that do not run any more; empty while all is well."""
        return self.servers.ended() + self.processes.ended()

    def wait_until_ready(self, limit_s: float = READY_LIMIT_S) -> None:
        """Wait until each service holds partitions and has all of them open.

        Raises RefusedStart: one has ended, or takes too long.
        """
        deadline_s = time.monotonic() + limit_s
        waiting = set(self.health_ports)
        while waiting:
            if ended := self.ended():
                raise RefusedStart("\n".join(map(str, ended)), "Remove the cause that it names")
            if time.monotonic() > deadline_s:
                logs = ", ".join(str(self.processes[name].log) for name in sorted(waiting))
                raise RefusedStart(f"Not ready within {limit_s:.0f} s", f"See {logs}")
            time.sleep(POLL_S)
            waiting -= {name for name in waiting if (self.health(name) or {}).get("ready")}


@contextmanager
def system(
    data_dir: Path,
    *,
    services: Sequence[str] = ORDER_SERVICES,
    partitions: int | None = None,
    kafka_bootstrap_servers: str | None = None,
    redis_url: str | None = None,
    env: Mapping[str, str] | None = None,
    wiped: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[System]:
    """Start the system with its data and logs in `data_dir`; it is ready inside, and ends after.

    Kafka and Redis are those given, else those that the environment names, else started here
    (stack.py), `wiped` of what earlier runs stored. `env` is added to the environment of the
    services; `say` is told what is chosen. Call it outside of any event loop. Raises RefusedStart,
    TransientError.
    """
    given = {
        "partitions": partitions,
        "kafka_bootstrap_servers": kafka_bootstrap_servers,
        "redis_url": redis_url,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    told = Settings.load(**chosen)
    with ExitStack() as running:
        servers = running.enter_context(
            start_servers(
                data_dir,
                kafka_bootstrap_servers=_told(told, "kafka_bootstrap_servers"),
                redis_url=_told(told, "redis_url"),
                wiped=wiped,
                say=say,
            )
        )
        chosen["kafka_bootstrap_servers"] = servers.kafka.bootstrap_servers
        chosen["redis_url"] = servers.redis.redis_url
        settings = Settings.load(**chosen)
        made = asyncio.run(make_topics(servers_of(settings), settings.partitions))
        say(
            f"{len(made)} topics with {settings.partitions} partitions each, "
            f"{sum(topic.made for topic in made)} of them new"
        )
        processes = running.enter_context(Processes(data_dir / "logs"))
        ports = {name: free_port() for name in services}
        say(f"Starting {', '.join(services) or 'no services'}")
        for name, port in ports.items():
            processes.start(name, _command(name), {**_environment(settings, port), **(env or {})})
        found = System(settings, servers, processes, ports)
        found.wait_until_ready()
        running.enter_context(published(data_dir, settings))
        yield found


@contextmanager
def until_signaled() -> Iterator[None]:
    """Leave the block at the first SIGINT, SIGTERM or SIGHUP; more of them do not disturb that."""

    def end(_: int, __: FrameType | None) -> None:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(settings: Settings, name: str) -> str | None:
    return getattr(settings, name) if name in settings.model_fields_set else None


def _command(service: str) -> tuple[str, ...]:
    # -P: a directory `services` where the user stands is not ours.
    command = ("run", service) if service in {*ServiceName} else (service,)
    return (sys.executable, "-P", "-m", "services.cli.app", *command)


def _environment(settings: Settings, health_port: int) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "REDIS_URL": settings.redis_url,
        "HEALTH_HOST": HOST,
        "HEALTH_PORT": str(health_port),
        "DASHBOARD_HOST": HOST,
        "DASHBOARD_PORT": str(health_port),
        "INGEST_HOST": HOST,
        "INGEST_PORT": str(health_port),
    }
