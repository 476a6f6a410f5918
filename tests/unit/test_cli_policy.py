"""`orderflow policy check` (R24): every field in a sentence, an order worked through, and all that
is wrong with a file, by field."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.app import app
from shared.policy import Policy
from shared.policy_fields import (
    DEFAULT_HANDLING_DAYS,
    DEFAULT_TRANSIT_DAYS,
    FraudLimits,
    TransitDays,
)
from shared.policy_sentences import SENTENCES, sentences, value_of

OTHER: dict[str, Any] = {
    "marketplace_id": "A39IBJ37TRP1C6",
    "time_zone": "Asia/Kathmandu",
    "calendar_country": "NP",
    "calendar_subdivision": "CA",
    "hold_minutes": 41,
    "verification_window_days": 9,
    "buyer_cancel": "seller_approves",
    "cancel_request_lateness_minutes": 17,
    "seller_answer_hours": 47,
    "handling_days": {**DEFAULT_HANDLING_DAYS, "Priority": 3},
    "sku_handling_days": {"WICKER-CHAIR": 6},
    "cut_off_hour": 11,
    "transit_days": {**DEFAULT_TRANSIT_DAYS, "Priority": TransitDays(4, 6)},
    "sku_transit_days": {"WICKER-CHAIR": TransitDays(6, 13)},
    "late_notice_interval_hours": 37,
    "auto_cancel_anchor": "ship_by",
    "auto_cancel_order_date_days": 43,
    "auto_cancel_ship_by_working_days": 8,
    "cancel_warning_days": 5,
    "lost_package_days": 19,
    "return_window_days": 29,
    "return_transit_days": 23,
    "provider_answer_hours": 31,
    "parked_hours": 13,
    "retention_days": 53,
    "fraud.window_hours": 21,
    "fraud.orders_per_buyer": 7,
    "fraud.orders_per_card": 11,
    "fraud.spend_per_buyer_minor": {"JPY": 70_001},
    "fraud.spend_per_card_minor": {"BHD": 70_001},
}
"""Another value of each field than the default."""
FIELDS = [
    *(name for name in Policy.model_fields if name != "fraud"),
    *(f"fraud.{name}" for name in FraudLimits.model_fields),
]


def checked(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["policy", "check", *map(str, arguments)])


def written(directory: Path, source: str, name: str = "A39IBJ37TRP1C6") -> Path:
    file = directory / f"{name}.yaml"
    file.write_text(source)
    return file


def says(policy: Policy) -> dict[str, str]:
    return {each.field: each.text for _, found in sentences(policy) for each in found}


# What a policy says


def test_r24_every_field_of_a_policy_has_a_sentence_and_nothing_else_has() -> None:
    assert [field for fields in SENTENCES.values() for field in fields] == FIELDS


@pytest.mark.parametrize("field", FIELDS)
def test_r24_a_sentence_says_what_its_field_holds_and_differs_where_it_does(field: str) -> None:
    default = Policy()
    other = _changed(field, OTHER[field])

    found = {each.field: each for _, each_ in sentences(other) for each in each_}

    assert found[field].text != says(default)[field]
    assert [name for name, each in found.items() if each.differs] == [field]
    assert value_of(other, field) == OTHER[field]


def _changed(field: str, value: Any) -> Policy:
    """A policy that was not asked whether it agrees with itself."""
    outer, _, inner = field.partition(".")
    held = FraudLimits.model_construct(**{inner: value}) if inner else value
    return Policy().model_copy(update={outer: held})


@pytest.mark.parametrize(
    ("given", "field", "sentence"),
    [
        (
            {"hold_minutes": 1},
            "hold_minutes",
            (
                "Every order is held for 1 minute from its purchase: its seller does not see it "
                "yet, and its buyer can cancel it alone."
            ),
        ),
        (
            {"cut_off_hour": 9},
            "cut_off_hour",
            (
                "What is to ship on the same day has to be released before 09:00 local time; else "
                "it has until the end of the next one."
            ),
        ),
        (
            {"cut_off_hour": 0},
            "cut_off_hour",
            "What is to ship on the same day always has until the end of the next one.",
        ),
        (
            {"cancel_request_lateness_minutes": 0},
            "cancel_request_lateness_minutes",
            "A buyer's request counts by when it arrives.",
        ),
        (
            {"sku_transit_days": {f"RUG-{n}": [n, n + 1] for n in range(7)}},
            "sku_transit_days",
            (
                "These SKUs have a transit time of their own, in working days, and the slowest SKU "
                "of an order counts: RUG-0 0 to 1, RUG-1 1 to 2, RUG-2 2 to 3, RUG-3 3 to 4, RUG-4 "
                "4 to 5 and 2 more."
            ),
        ),
        (
            {"fraud": {"spend_per_buyer_minor": {"EUR": 70_001, "JPY": 70_001}}},
            "fraud.spend_per_buyer_minor",
            (
                "One buyer spends at most 700.01 EUR, 70001 JPY within that time; other currencies "
                "have no limit."
            ),
        ),
        (
            {"auto_cancel_anchor": "ship_by"},
            "auto_cancel_order_date_days",
            (
                "From the purchase, that is 30 days of 24 hours later. (Not used: "
                "auto_cancel_anchor picks the other one.)"
            ),
        ),
    ],
)
def test_r24_a_sentence_is_plain_english(given: dict[str, Any], field: str, sentence: str) -> None:
    assert says(Policy.model_validate(given))[field] == sentence


def test_r24_a_policy_is_told_with_a_star_where_it_differs(tmp_path: Path) -> None:
    shown = checked(written(tmp_path, "hold_minutes: 5\nbuyer_cancel: seller_approves"))

    starred = [line[:50] for line in shown.stdout.splitlines() if line.startswith("* ")]
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert starred == [
        "* This holds in the marketplace A39IBJ37TRP1C6. [m",
        "* Every order is held for 5 minutes from its purch",
        "* After the hold, a buyer's cancel of an unshipped",
    ]


def test_r24_a_file_is_told_over_the_default_beside_it(tmp_path: Path) -> None:
    written(tmp_path, "parked_hours: 6\nhold_minutes: 20", name="default")

    shown = checked(written(tmp_path, "hold_minutes: 5"))

    assert "waits for it for 6 hours" in shown.stdout
    assert "held for 5 minutes" in shown.stdout


# An order, worked through


def example_of(file: Path, *options: str) -> list[str]:
    shown = checked(file, *options)
    assert shown.exit_code == 0, shown.output
    return shown.stdout.partition("\nAn order, worked through ")[2].strip().splitlines()


def test_r24_an_order_is_worked_through_in_the_marketplaces_own_time(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        'time_zone: America/New_York\ncalendar_country: "US"\nsku_handling_days: {CANDLE: 3}\n'
        "sku_transit_days: {RUG: [4, 6]}",
    )
    options = ("--placed", "2026-11-20T15:40", "--sku", "CANDLE", "--sku", "RUG")

    assert example_of(file, *options) == [
        "(times of America/New_York)",
        "  Fri 20 Nov 2026 15:40  it is placed",
        "  Fri 20 Nov 2026 16:10  it is held until then",
        "  Wed 25 Nov 2026 23:59  the seller is to ship it by then",
        "  Thu 26 Nov 2026 23:59  if it is late, both are told again",
        # Thursday is Thanksgiving: 23, 24, 25 and 27 November
        "  Fri 27 Nov 2026 00:00  the buyer may expect it from then on",
        "  Fri 27 Nov 2026 15:40  if it is not paid by then, it is canceled",
        "  Fri 04 Dec 2026 23:59  the buyer may expect it until then",
        "  Mon 07 Dec 2026 23:59  if it is late, the buyer's new date",
        "  Sun 13 Dec 2026 15:40  if it is unconfirmed, the seller is warned",
        "  Fri 18 Dec 2026 23:59  if it has not arrived by then, it is lost",
        "  Sun 20 Dec 2026 15:40  if it is unconfirmed, it is canceled",
        "  Sun 03 Jan 2027 23:59  a return can be asked for until then",
    ]


def test_r24_thirty_days_of_24_hours_end_an_hour_later_by_a_clock_that_went_forward(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, "time_zone: Europe/Berlin")

    at = {line[25:]: line[:23].strip() for line in example_of(file)}

    assert at["it is placed"] == "Fri 05 Mar 2027 15:40"
    assert at["if it is unconfirmed, it is canceled"] == "Sun 04 Apr 2027 16:40"


def test_r24_the_example_has_the_service_level_that_is_named(tmp_path: Path) -> None:
    at = {
        line[25:]: line[:23].strip()
        for line in example_of(written(tmp_path, ""), "--level", "NextDay")
    }

    assert at["the seller is to ship it by then"] == "Mon 08 Mar 2027 23:59"  # after 14:00
    assert at["the buyer may expect it until then"] == "Tue 09 Mar 2027 23:59"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--placed", "noon", "has to be a local time of the years 2000 to 2199"),
        ("--placed", "2027-03-05T15:40Z", "has to be a local time"),
        ("--placed", "1999-12-31T23:59", "has to be a local time"),
        ("--placed", "2200-01-01T00:00", "has to be a local time"),
        ("--level", "Overnight", "is not one of"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, option: str, value: str, message: str) -> None:
    shown = checked(written(tmp_path, ""), option, value)

    assert (shown.exit_code, shown.stdout) == (2, "")
    assert option in shown.stderr
    assert message in " ".join(shown.stderr.split())


@pytest.mark.parametrize("placed", ["2000-01-01T00:00", "2199-12-31T23:59"])
def test_the_first_and_the_last_example_are_worked_through(tmp_path: Path, placed: str) -> None:
    assert len(example_of(written(tmp_path, ""), "--placed", placed)) == 13


# What is wrong

THREE_WEEKS = "15 working days to ship in"


@pytest.mark.parametrize(
    ("wrong", "field", "value", "allowed", "right"),
    [
        (
            "hold_minutes: 1441\nverification_window_days: 1",
            "hold_minutes",
            "1441",
            "at most verification_window_days: else no payment is in time",
            "hold_minutes: 1440\nverification_window_days: 1",
        ),
        (
            "transit_days: {Priority: [3, 2]}",
            "transit_days.Priority",
            "[3, 2]",
            "[fewest, most] with fewest <= most",
            "transit_days: {Priority: [3, 3]}",
        ),
        (
            'sku_transit_days: {"RUG": [12, 11]}',
            "sku_transit_days.RUG",
            "[12, 11]",
            "[fewest, most] with fewest <= most",
            'sku_transit_days: {"RUG": [11, 11]}',
        ),
        (
            "auto_cancel_order_date_days: 12",
            "auto_cancel_order_date_days",
            "12",
            "more than verification_window_days + 4 + 1: 2 working days to ship in may last 4 days",
            "auto_cancel_order_date_days: 13",
        ),
        (
            'sku_handling_days: {"MADE-TO-ORDER": 15}',
            "auto_cancel_order_date_days",
            "30",
            f"more than verification_window_days + 23 + 1: {THREE_WEEKS} may last 23 days",
            'sku_handling_days: {"MADE-TO-ORDER": 14}',
        ),
        (
            "cancel_warning_days: 30",
            "cancel_warning_days",
            "30",
            "less than auto_cancel_order_date_days",
            "cancel_warning_days: 29",
        ),
        (
            "auto_cancel_anchor: ship_by\ncancel_warning_days: 8",
            "cancel_warning_days",
            "8",
            "at most auto_cancel_ship_by_working_days",
            "auto_cancel_anchor: ship_by\ncancel_warning_days: 7",
        ),
        (
            "retention_days: 30",
            "retention_days",
            "30",
            "more than return_window_days: a return needs its order",
            "retention_days: 31",
        ),
        (
            'calendar_subdivision: "BY"',
            "calendar_subdivision",
            "'BY'",
            "absent while there is no calendar_country",
            'calendar_country: "DE"\ncalendar_subdivision: "BY"',
        ),
    ],
)
def test_r24_a_contradiction_is_told_with_file_field_value_and_what_is_allowed(
    tmp_path: Path, wrong: str, field: str, value: str, allowed: str, right: str
) -> None:
    file = written(tmp_path, f"{wrong}\n" + _ample(field, wrong))

    refused = checked(file)

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == f"{file}: {field} is {value}. Allowed: {allowed}\n"
    accepted = checked(written(tmp_path, f"{right}\n" + _ample(field, right)))
    assert (accepted.exit_code, accepted.stderr) == (0, "")


def _ample(field: str, source: str) -> str:
    """A warning that is short enough for the shortest auto-cancel."""
    short = field == "auto_cancel_order_date_days" and field in source
    return "cancel_warning_days: 9" if short else ""


@pytest.mark.parametrize(
    ("country", "subdivision", "field", "value"),
    [("XX", None, "calendar_country", "'XX'"), ("DE", "ZZ", "calendar_subdivision", "'ZZ'")],
)
def test_r24_a_place_without_a_calendar_is_told_by_its_field(
    tmp_path: Path, country: str, subdivision: str | None, field: str, value: str
) -> None:
    given = {"calendar_country": country, "calendar_subdivision": subdivision}

    refused = checked(written(tmp_path, json.dumps(given)))

    assert refused.exit_code == 2
    assert f": {field} is {value}. Allowed: a place of the holidays library" in refused.stderr


EVERYTHING = """\
calendar_country: "XX"
hold_minutes: 3000
verification_window_days: 2
transit_days: {Standard: [5, 3], Priority: [9, 1]}
sku_transit_days: {RUG: [2, 1]}
cancel_warning_days: 40
retention_days: 12
"""


def test_r24_all_that_a_policy_says_against_itself_is_told_at_once(tmp_path: Path) -> None:
    refused = checked(written(tmp_path, EVERYTHING))

    told = [line.partition(": ")[2].partition(" is ")[0] for line in refused.stderr.splitlines()]
    assert told == [
        "calendar_country",
        "hold_minutes",
        "transit_days.Standard",
        "transit_days.Priority",
        "sku_transit_days.RUG",
        "cancel_warning_days",
        "retention_days",
    ]


LATER = "whether fields contradict each other is not looked at before each is right by itself."


def test_r24_all_fields_that_are_wrong_by_themselves_are_told_first(tmp_path: Path) -> None:
    source = "hold_minutes: thirty\nparked_hours: 0\nhold_second: 9\nretention_days: 12\n"
    file = written(tmp_path, source)

    refused = checked(file)

    told = [line.partition(". Allowed")[0] for line in refused.stderr.splitlines()]
    assert told == [
        f"{file}: hold_minutes is 'thirty'",
        f"{file}: parked_hours is 0",
        f"{file}: hold_second is unknown",
        f"{file}: {LATER}",
    ]


def test_r24_of_several_files_each_is_told_and_one_that_is_wrong_fails_them_all(
    tmp_path: Path,
) -> None:
    files = [written(tmp_path, "hold_minutes: 5", name="GOOD"), written(tmp_path, "[", name="BAD")]

    shown = checked(*files)

    assert shown.exit_code == 2
    assert f"{files[0]}: agrees with itself" in shown.stdout
    assert shown.stderr.startswith(f"{files[1]} is no YAML")


def test_a_program_reads_the_same_as_json(tmp_path: Path) -> None:
    good = written(tmp_path, "time_zone: Asia/Tokyo\nhold_minutes: 5", name="GOOD")
    bad = written(tmp_path, "retention_days: 30", name="BAD")

    shown = checked(good, bad, "--json")

    right, wrong = json.loads(shown.stdout)
    assert (shown.exit_code, shown.stderr) == (2, "")
    assert wrong == {
        "file": str(bad),
        "findings": [
            {
                "file": str(bad),
                "field": "retention_days",
                "value": "30",
                "allowed": "more than return_window_days: a return needs its order",
            }
        ],
        "more_may_follow": False,
    }
    assert (right["findings"], right["marketplace_id"]) == ([], "GOOD")
    assert right["says"]["Holding, verifying, canceling"][0] == {
        "field": "hold_minutes",
        "text": says(Policy(hold_minutes=5))["hold_minutes"],
        "differs": True,
    }
    assert right["example"][1] == {
        "what": "it is held until then",
        "at": "2027-03-05T15:45:00+09:00",
    }


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert checked(tmp_path / "polices.yaml").exit_code == 2
    assert checked(tmp_path).exit_code == 2
