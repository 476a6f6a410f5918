"""Logs: one format for ours and the libraries', with nothing in them that has no place there."""

import json
import logging
import sys
from typing import Any

import pytest
import structlog

from shared.settings import Settings
from shared.telemetry import MAX_VALUE_CHARS, configure


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_one_json_object_with_service_level_and_instant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("inventory", Settings.load())

    structlog.get_logger().info("batch committed", partition=3, facts=17)

    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "batch committed",
        "level": "info",
        "service": "inventory",
        "partition": 3,
        "facts": 17,
    }


def test_the_level_is_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    configure("inventory", Settings.load(log_level="WARNING"))

    structlog.get_logger().info("too quiet")
    structlog.get_logger().warning("loud enough")

    assert [line["event"] for line in lines(capsys)] == ["loud enough"]


@pytest.mark.parametrize("library", ["aiokafka", "faststream", "uvicorn.access"])
def test_libraries_come_through_the_same_format_from_warning_on(
    capsys: pytest.CaptureFixture[str], library: str
) -> None:
    logger = logging.getLogger(library)
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.propagate = False
    configure("payment", Settings.load(log_level="DEBUG"))

    logger.info("talk")
    logger.error("broker %s is gone", 7)

    (line,) = lines(capsys)
    assert (line["event"], line["service"]) == ("broker 7 is gone", "payment")
    assert (line["level"], line["logger"]) == ("error", library)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variables(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure("payment", Settings.load(log_format=log_format))
    log = structlog.get_logger()

    def fail() -> None:
        buyer = "Ann" + "abelle"
        raise ValueError(len(buyer))

    try:
        fail()
    except ValueError:
        log.exception("decision failed", event_id="e-17")

    written = capsys.readouterr().err
    assert "ValueError: 9" in written
    assert "Annabelle" not in written


def test_a_value_has_a_limit_and_keeps_both_ends(capsys: pytest.CaptureFixture[str]) -> None:
    configure("payment", Settings.load())
    fits = "f" * MAX_VALUE_CHARS

    structlog.get_logger().info("cut", fits=fits, long="<" + 2 * fits + ">", many=["m" * 10_000])

    (line,) = lines(capsys)
    assert line["fits"] == fits
    assert (line["long"][0], line["long"][-1]) == ("<", ">")
    assert len(line["long"]) < MAX_VALUE_CHARS + 10
    assert len(str(line["many"])) < MAX_VALUE_CHARS + 10
