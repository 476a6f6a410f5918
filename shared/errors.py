"""The errors of the project, each named by what its catcher must do.

    OrderflowError
    ├── TransientError   wait and try again: an outage, nothing is lost or decided
    ├── PermanentError   a dead letter: trying again can not help
    └── RefusedStart     end the process, exit code not 0: somebody has to act first
        └── SettingError     a setting is wrong

Libraries' own errors are translated where they are met (shared/redis.py, shared/kafka.py), so
that nobody further up has to know which library failed.
"""

IF_AWAY = (
    "Start it, as `orderflow up` does, or set KAFKA_BOOTSTRAP_SERVERS and REDIS_URL to where it is."
)
"""What a person can do who finds Kafka or Redis away when a process starts."""


class OrderflowError(Exception):
    """Everything that this project raises on purpose."""


class TransientError(OrderflowError):
    """Something outside is away for now (Kafka, Redis, a provider): wait, then do it again."""


class PermanentError(OrderflowError):
    """A record can not be handled, now or later: keep it as a dead letter (P6).

    `reason` is a short stable code that tools group and filter by (`date_out_of_range`), one of
    the books' `FAILED`; `detail` one sentence for the person who looks at it, without personal
    data.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class RefusedStart(OrderflowError):
    """What the process finds makes going on unsafe: it ends, and says what to do about it.

    `problem` says what was found, `remedy` what a person can do: a topic is missing, partition
    counts differ, a stored position is no longer in Kafka's log.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class SettingError(RefusedStart):
    """A setting is wrong: `name` is what to change, `allowed` what it may be.

    `shown` is the value as it may be printed: whoever raises this redacts secrets first.
    """

    def __init__(self, name: str, shown: str, allowed: str) -> None:
        super().__init__(f"{name} is {shown}", f"Allowed: {allowed}")
        self.name = name
        self.shown = shown
        self.allowed = allowed
