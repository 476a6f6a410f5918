"""The process that serves the pages: it reads what the projection wrote, and decides nothing."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog

from services.dashboard.accounts import Accounts
from services.dashboard.sessions import Sessions
from services.dashboard.store import Views
from services.dashboard.web.access import first_way_in
from services.dashboard.web.desk import KafkaDesk
from services.dashboard.web.follower import Follower
from services.dashboard.web.index import Index
from services.dashboard.web.kafka_look import KafkaLook
from services.dashboard.web.parts import Listeners, Parts
from services.dashboard.web.site import site
from shared import kafka
from shared.clock import BusinessClock, clock_at
from shared.errors import RefusedStart
from shared.events.fulfillment import FULFILLMENT_EVENTS
from shared.http_server import listen, serve_until_signaled
from shared.policy import Policies
from shared.process import run_process, until_one_ends
from shared.redis import connect
from shared.settings import Settings

NAME = "pages"

SERVICES = ("inventory", "payment", "fulfillment", "deadlines", "dashboard")
"""Whose progress the overview shows."""

_log = structlog.get_logger()


class Opened(NamedTuple):
    """The parts of a process, and those of them that go on by themselves once they run."""

    parts: Parts
    clock: BusinessClock
    look: KafkaLook


async def serve(settings: Settings) -> None:
    """Serve the pages until SIGTERM.

    Raises RefusedStart, and TransientError where Kafka or Redis is away at the start.
    """
    listening = listen("DASHBOARD", settings.dashboard_host, settings.dashboard_port)
    async with opened(settings) as (parts, clock, look):
        await guard(parts.accounts, settings.dashboard_url or _url_of(listening))
        host, port = listening.getsockname()[:2]
        _log.info("serving pages", url=f"http://{host}:{port}/")
        serving = serve_until_signaled(site(parts), listening)
        await until_one_ends(serving, clock.run(), parts.follower.run(), look.run())


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """What the pages are made with, of the system that settings name; nothing is read yet.

    Raises RefusedStart, and TransientError where Kafka or Redis is away.
    """
    policies = Policies.load(settings.policies_dir)
    servers = kafka.servers_of(settings)
    partitions = await kafka.checked_partitions(servers, [FULFILLMENT_EVENTS.name])
    async with AsyncExitStack() as stack:
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        clock = await stack.enter_async_context(clock_at(settings.clock_redis_url))
        look = KafkaLook(servers, partitions, SERVICES, clock)
        stack.push_async_callback(look.close)
        desk = KafkaDesk(servers, partitions)
        stack.push_async_callback(desk.close)
        accounts = Accounts(redis)
        index, listeners, views = Index(), Listeners(), Views(redis, partitions)
        stack.callback(index.close)
        follower = Follower(views, index, listeners.tell)
        parts = Parts(
            index=index,
            views=views,
            follower=follower,
            clock=clock,
            policies=policies,
            accounts=accounts,
            sessions=Sessions(redis, accounts),
            records=look,
            desk=desk,
            standing=look,
            listeners=listeners,
        )
        yield Opened(parts, clock, look)


async def guard(accounts: Accounts, url: str) -> None:
    """Where nobody has an account, log the first one-time link; refuse a `url` beyond loopback.

    It is where browsers find the pages: in a container they are served on all of its addresses, and
    reached by the port that is published.
    """
    link = await first_way_in(accounts)
    if link is None:
        return
    if not _is_loopback(urlsplit(url).hostname or ""):
        raise RefusedStart(
            f"The dashboard would be served as {url}, and nobody has an account",
            "Serve it to this machine first, by DASHBOARD_HOST=127.0.0.1, or where its port is "
            "published, by DASHBOARD_URL=http://127.0.0.1:PORT, and sign in by the link in its log",
        )
    _log.warning("nobody has an account: the first signs in once at this address", url=url + link)


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Serve the pages as this process; ends it with the exit code."""
    run_process(NAME, serve)


if __name__ == "__main__":
    main()
