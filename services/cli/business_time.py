"""What time it is, for a command that says something or looks at something now."""

from datetime import datetime

from shared.clock import BusinessClock
from shared.redis import connect
from shared.settings import Settings


async def business_now(settings: Settings) -> datetime:
    """The business time of the system that a command talks to; raises TransientError."""
    redis = connect(settings.clock_redis_url)
    clock = BusinessClock(redis)
    try:
        await clock.refresh()
    finally:
        await redis.aclose()
    return clock.now()
