"""The process that takes events over HTTP, and writes them to Kafka."""

from contextlib import AsyncExitStack

import structlog

from services.ingest.decisions import Intake
from services.ingest.site import Parts, site
from services.ingest.store import Tokens
from shared import kafka
from shared.clock import clock_at
from shared.events.topics import FROM_OUTSIDE
from shared.http_server import listen, serve_until_signaled
from shared.kafka_sender import KafkaSender
from shared.process import run_process, until_one_ends
from shared.redis import connect
from shared.settings import Settings

NAME = "ingest"

_log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Take events until SIGTERM.

    Raises RefusedStart, and TransientError where Kafka or Redis is away at the start.
    """
    listening = listen("INGEST", settings.ingest_host, settings.ingest_port)
    servers = kafka.servers_of(settings)
    topics = [topic.name for topic in FROM_OUTSIDE]
    partitions = await kafka.checked_partitions(servers, topics)
    async with AsyncExitStack() as stack:
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        clock = await stack.enter_async_context(clock_at(settings.clock_redis_url))
        sender = KafkaSender(servers)
        stack.push_async_callback(sender.close)
        intake = Intake(FROM_OUTSIDE, partitions)
        parts = Parts(tokens=Tokens(redis), intake=intake, sender=sender, clock=clock)
        host, port = listening.getsockname()[:2]
        _log.info("taking events", url=f"http://{host}:{port}/events")
        await until_one_ends(serve_until_signaled(site(parts), listening), clock.run())


def main() -> None:
    """Take events as this process; ends it with the exit code."""
    run_process(NAME, serve)


if __name__ == "__main__":
    main()
