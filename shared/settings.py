"""Settings of a process: the only module that reads the environment.

A value comes from, in this order: an override of the caller (a test, `orderflow up`), the
environment variable of the same name in capitals, a file of that name in the secrets directory
(`SECRETS_DIR`, by default `/run/secrets` where that exists), the default below. A set but empty
variable counts as not set: compose passes `${REDIS_URL:-}` that way.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import SettingError

MAX_PARTITIONS = 1024
"""Above this, a start (one claim and one journal read per partition) takes minutes."""

_DEFAULT_SECRETS_DIR = Path("/run/secrets")
_CHECKOUT = Path(__file__).resolve().parents[1]

_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])"
_SERVER = re.compile(rf"{_HOST}:(?P<port>\d{{1,5}})")
_REDIS_URL = re.compile(
    rf"rediss?://(?:[^@/?#]*@)?{_HOST}(?::(?P<port>\d{{1,5}}))?(?:/\d*)?(?:\?[^#]*)?"
    r"|unix://(?:[^@/?#]*@)?/[^?#]+(?:\?[^#]*)?"
)


_PROVIDER_URL = re.compile(
    rf"(?:https://{_HOST}|http://(?:127\.0\.0\.1|localhost|\[::1\]))(?::(?P<port>\d{{1,5}}))?(?:/[^?#]*)?"
)
_SITE_URL = re.compile(rf"https?://{_HOST}(?::(?P<port>\d{{1,5}}))?")
_ENDPOINT = re.compile(rf"https?://{_HOST}(?::(?P<port>\d{{1,5}}))?(?:/[^?#]*)?")


def _matched(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.fullmatch(text)
    if not found or (found["port"] and not 1 <= int(found["port"]) <= 65_535):
        raise ValueError
    return text


def _checked_servers(text: str) -> str:
    return ",".join(_matched(_SERVER, server.strip()) for server in text.split(","))


def _checked_redis_url(url: str) -> str:
    return _matched(_REDIS_URL, url)


def _checked_provider_url(url: str) -> str:
    return _matched(_PROVIDER_URL, url)


def _checked_endpoint(url: str) -> str:
    return _matched(_ENDPOINT, url)


def _checked_site_url(url: str) -> str:
    return _matched(_SITE_URL, url)


_Servers = Annotated[str, AfterValidator(_checked_servers)]
_RedisUrl = Annotated[str, AfterValidator(_checked_redis_url), Field(repr=False)]
_ProviderUrl = Annotated[str, AfterValidator(_checked_provider_url)]
_Endpoint = Annotated[str, AfterValidator(_checked_endpoint)]
_SiteUrl = Annotated[str, AfterValidator(_checked_site_url)]
_Token = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,1024}$")]
_KafkaUser = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]
_LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda name: str(name).upper())
]

# The description of a field is what the error about a bad value says is allowed.
_REDIS_URL_FORM = "redis://[user:password@]host[:port][/db], rediss:// for TLS, or unix:///path"

_ENDPOINT_FORM = "where a collector takes OTLP over HTTP: http[s]://host[:port][/path]"


class Settings(BaseSettings):
    """What a process is told about its surroundings; `Settings.load` makes one."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, hide_input_in_errors=True, extra="forbid"
    )

    kafka_bootstrap_servers: _Servers = Field(
        "127.0.0.1:9092", description="host:port, several separated by commas"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, or SASL_SSL (with SCRAM-SHA-512)"
    )
    kafka_ca_file: Path | None = Field(
        None, description="a PEM file of who signs the brokers' certificates"
    )
    kafka_username: _KafkaUser | None = Field(
        None, description="1 to 128 printable characters, no blanks"
    )
    kafka_password: _Token | None = Field(
        None, repr=False, description="printable characters, no blanks"
    )
    redis_url: _RedisUrl = Field(
        "redis://127.0.0.1:6379/0", description=f"{_REDIS_URL_FORM}: this service's own state"
    )
    clock_redis_url: _RedisUrl = Field(
        default_factory=lambda earlier: earlier["redis_url"],
        description=f"{_REDIS_URL_FORM}: the one whose clock all services share",
    )
    partitions: int = Field(
        12,
        ge=1,
        le=MAX_PARTITIONS,
        description=f"a whole number from 1 to {MAX_PARTITIONS}, the same for every topic",
    )
    policies_dir: Path = Field(
        _CHECKOUT / "deploy" / "policies", description="the directory of the policy files"
    )
    payment_provider_url: _ProviderUrl | None = Field(
        None, repr=False, description="https://host[:port][/path], or http:// on this machine"
    )
    payment_provider_token: _Token | None = Field(
        None, repr=False, description="the provider's bearer token: printable characters, no blanks"
    )
    health_host: str = Field(
        "127.0.0.1", min_length=1, description="the address to serve health on"
    )
    # One machine runs several services: by default each takes a free port and logs it.
    health_port: int = Field(
        0, ge=0, le=65_535, description="a port from 1 to 65535, or 0 for any free one"
    )
    dashboard_host: str = Field(
        "127.0.0.1", min_length=1, description="the address to serve the dashboard's pages on"
    )
    dashboard_port: int = Field(
        0, ge=0, le=65_535, description="a port from 1 to 65535, or 0 for any free one"
    )
    ingest_host: str = Field(
        "127.0.0.1", min_length=1, description="the address to take events by HTTP on"
    )
    ingest_port: int = Field(
        0, ge=0, le=65_535, description="a port from 1 to 65535, or 0 for any free one"
    )
    otel_exporter_otlp_endpoint: _Endpoint | None = Field(
        None, repr=False, description=_ENDPOINT_FORM
    )
    otel_exporter_otlp_traces_endpoint: _Endpoint | None = Field(
        None, repr=False, description=_ENDPOINT_FORM
    )
    dashboard_url: _SiteUrl | None = Field(
        None, description="http:// or https://host[:port], as browsers are to ask for it"
    )
    log_level: _LogLevel = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["json", "console"] = Field("json", description="json or console")

    @classmethod
    def load(cls, **overrides: object) -> "Settings":
        """Read and check all settings, `overrides` (by field name) before everything else.

        Raises SettingError for the first bad value: its name, the value (of a URL only whether
        it is there: it may hold a password) and what is allowed.
        """
        try:
            return cls(_secrets_dir=_secrets_dir(), **overrides)  # type: ignore[arg-type]
        except ValidationError as invalid:
            raise _explained(invalid) from None


def redacted(url: str) -> str:
    """A checked URL as it may be shown: without user, password and query."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _secrets_dir() -> Path | None:
    named = os.environ.get("SECRETS_DIR")
    if named and not Path(named).is_dir():
        raise SettingError("SECRETS_DIR", repr(named), "a directory with one file per setting")
    if named:
        return Path(named)
    return _DEFAULT_SECRETS_DIR if _DEFAULT_SECRETS_DIR.is_dir() else None


def _explained(invalid: ValidationError) -> SettingError:
    """The first error of `invalid` in our words; `from None` keeps the input out of tracebacks."""
    error = invalid.errors(include_url=False, include_context=False)[0]
    name = str(error["loc"][0])
    field = Settings.model_fields.get(name)
    if field is None:
        return SettingError(name.upper(), "no setting", ", ".join(Settings.model_fields).upper())
    secret = name.endswith(("_url", "_token", "_password", "_endpoint"))
    shown = "malformed (not shown: secret)" if secret else repr(error["input"])
    return SettingError(name.upper(), shown, str(field.description))
