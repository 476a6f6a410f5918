"""R24: one readable file per marketplace; what is wrong with one is refused by file and field."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.errors import SettingError
from shared.policy import Policies, Policy, read_policy
from shared.policy_files import MAX_FILE_BYTES, MAX_FILES, PolicyError

DEPLOYED = Path(__file__).parents[2] / "deploy" / "policies"


def write(directory: Path, **sources: str) -> Path:
    for stem, source in {"default": "", **sources}.items():
        (directory / f"{stem}.yaml").write_text(source, encoding="utf-8")
    return directory


def test_r24_the_deployed_default_shows_every_key_with_its_default() -> None:
    policies = Policies.load(DEPLOYED)

    assert policies.default == Policy()
    assert policies.default.model_fields_set == set(Policy.model_fields)
    assert policies.default.fraud.model_fields_set == set(type(Policy().fraud).model_fields)


def test_r24_the_deployed_marketplace_overrides_a_few() -> None:
    default, american = Policy(), Policies.load(DEPLOYED).of("ATVPDKIKX0DER")

    assert american.marketplace_id == "ATVPDKIKX0DER"
    assert american.calendar_country == "US"
    assert american.handling_days == {**default.handling_days, "Standard": 1}
    assert american.auto_cancel_anchor == "ship_by"
    assert american.fraud.orders_per_buyer == default.fraud.orders_per_buyer
    assert american.hold_minutes == default.hold_minutes


def test_r24_an_unknown_marketplace_has_the_default() -> None:
    policies = Policies.load(DEPLOYED)

    assert policies.of("A39IBJ37TRP1C6") is policies.default


def test_r24_a_marketplace_lies_over_the_default_file_key_by_key(tmp_path: Path) -> None:
    policies = Policies.load(
        write(
            tmp_path,
            default="hold_minutes: 20\nparked_hours: 6\nhandling_days: {Standard: 3, Priority: 3}",
            A1VC38T7YXB528="hold_minutes: 5\nhandling_days: {Priority: 0}",
        )
    )

    japanese = policies.of("A1VC38T7YXB528")
    assert (japanese.hold_minutes, policies.default.hold_minutes) == (5, 20)
    assert japanese.parked_hours == 6
    assert (japanese.handling_days["Standard"], japanese.handling_days["Priority"]) == (3, 0)
    assert policies.default.handling_days["Priority"] == 3
    assert japanese.handling_days["NextDay"] == Policy().handling_days["NextDay"]


def test_r24_other_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "README.md").write_text("hold_minutes: 0")
    (tmp_path / "..data").mkdir()  # what Kubernetes puts beside the files of a ConfigMap
    (tmp_path / ".A1VC38T7YXB528.yaml").write_text("hold_minutes: 0")

    assert Policies.load(tmp_path) == Policies()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("hold_minute: 30", ["hold_minute is unknown", "hold_minutes", "fraud.window_hours"]),
        ("hold_minutes: thirty", ["hold_minutes is 'thirty'", "a valid integer"]),
        ("hold_minutes:", ["hold_minutes is None", "a valid integer"]),
        ("hold_minutes: 0", ["hold_minutes is 0", "greater than or equal to 1"]),
        ("buyer_cancel: never", ["buyer_cancel is 'never'", "'automatic'"]),
        ("handling_days: {Slow: 1}", ["handling_days.Slow is 'Slow'", "'Standard', 'Expedited'"]),
        ("transit_days: {Standard: [3]}", ["transit_days.Standard.1 is missing", "a value"]),
        ("fraud: {orders: 3}", ["fraud.orders is unknown", "fraud.orders_per_buyer"]),
        ("time_zone: Mars/Phobos", ["time_zone is 'Mars/Phobos'", "IANA"]),
        ("calendar_country: NO", ["calendar_country is False", "string"]),
        ("cancel_warning_days: 30", ["cancel_warning_days is 30", "less than auto_cancel"]),
        ("hold_minutes: 0\nparked_hours: 0", ["hold_minutes is 0", "1 more findings"]),
        ("marketplace_id: A1F83G8C2ARO7P", ["marketplace_id is 'A1F83G8C2ARO7P'", "'A1VC38T"]),
        ("hold_minutes: 30\nhold_minutes: 5", ["'hold_minutes' is there twice", "line 2"]),
        ("hold_minutes: [", ["no YAML", "line 1"]),
        ("? [1, 2]\n: 3", ["no YAML", "unhashable"]),
        ("\x00", ["no YAML"]),
        ("- hold_minutes", ["['hold_minutes']", "a mapping"]),
        ("#" * (MAX_FILE_BYTES + 1), ["too large"]),
    ],
)
def test_r24_a_wrong_file_is_refused_by_file_field_and_what_is_allowed(
    tmp_path: Path, source: str, names: list[str]
) -> None:
    directory = write(tmp_path, A1VC38T7YXB528=source)

    with pytest.raises(PolicyError) as refused:
        Policies.load(directory)

    assert isinstance(refused.value, SettingError)
    for part in (str(tmp_path / "A1VC38T7YXB528.yaml"), *names):
        assert part in str(refused.value)


@pytest.mark.parametrize("read", [lambda path: Policies.load(path.parent), read_policy])
def test_r24_a_wrong_default_is_refused_by_its_own_name(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    file = write(tmp_path, default="hold_minutes: 0", A1VC38T7YXB528="") / "default.yaml"

    with pytest.raises(PolicyError) as refused:
        read(file)

    assert str(refused.value).startswith(f"{file}: hold_minutes is 0")


def test_r24_a_contradiction_across_two_files_is_refused_in_the_marketplaces(
    tmp_path: Path,
) -> None:
    directory = write(
        tmp_path, default="cancel_warning_days: 20", A1VC38T7YXB528="auto_cancel_anchor: ship_by"
    )

    with pytest.raises(PolicyError, match=r"A1VC38T7YXB528\.yaml: cancel_warning_days is 20"):
        Policies.load(directory)


def test_r24_a_directory_without_a_default_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"default\.yaml is missing"):
        Policies.load(tmp_path)


def test_r24_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="not readable"):
        Policies.load(tmp_path / "polices")


def test_r24_a_suffix_that_would_be_passed_over_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "A1VC38T7YXB528.yml").write_text("hold_minutes: 5")

    with pytest.raises(PolicyError, match=r"suffix \.yml"):
        Policies.load(tmp_path)


def test_r24_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    write(tmp_path, **{f"M{n}": "" for n in range(MAX_FILES)})

    with pytest.raises(PolicyError, match=f"{MAX_FILES + 1} policy files"):
        Policies.load(tmp_path)


@pytest.mark.parametrize(
    ("marketplace_id", "country", "hold", "auto_cancel"),
    [
        ("ATVPDKIKX0DER", "US", 30, "2026-06-12T06:59:59"),  # 7 working days after Tuesday 2 June
        ("A1VC38T7YXB528", "JP", 5, "2026-07-01T09:41:00"),  # 30 days after the purchase
        ("A2Q3Y263D00KWC", "BR", 30, "2026-07-01T09:41:00"),
        ("A1PA6795UKMFR9", "DE", 30, "2026-06-11T21:59:59"),
    ],
)
def test_r24_each_deployed_marketplace_has_its_hold_and_its_auto_cancel(
    marketplace_id: str, country: str, hold: int, auto_cancel: str
) -> None:
    policy = Policies.load(DEPLOYED).of(marketplace_id)
    purchased = datetime(2026, 6, 1, 9, 41, tzinfo=UTC)  # a Monday

    ship_by = policy.ship_window(policy.hold_end(purchased), "Standard", []).latest
    cancel_at = datetime.fromisoformat(auto_cancel).replace(tzinfo=UTC)
    assert (policy.calendar_country, policy.hold_minutes) == (country, hold)
    assert policy.auto_cancel_at(purchased, ship_by) == cancel_at
