"""Dead letters on the workbench: what a replay would come to, and what is sent and told."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from services.cli.redis_server import RedisServer, choose_redis
from services.dashboard.replaying import (
    REPLAY_HEADER,
    Outlook,
    as_edited,
    as_it_came,
    as_text,
    outlook_of,
    subject_of,
)
from services.dashboard.state import Entry, Handled, View
from services.dashboard.web.access import COOKIE
from shared.batch import DeadLetter, StoredRecord
from shared.clock import Timeline, to_ms
from shared.dead_letters import Kept
from shared.decode import NotAnEvent, partition_of
from shared.errors import TransientError
from shared.events.dashboard import DASHBOARD_EVENTS, LetterDiscarded, LetterReplayed
from shared.events.envelope import encode
from shared.events.fulfillment import FULFILLMENT_EVENTS, RequestRefused
from shared.events.inventory import STOCK_LEVELS
from shared.events.notices import NOTICES
from shared.events.seller import SellerCanceled
from shared.events.warehouse import stock_subject
from shared.marks import COMMIT_HEADER
from shared.redis import connect
from tests.support.orders import KETTLE, MINUTE, SELLER, order_placed, unshipped
from tests.support.screen import PARTITIONS, Screen, Teller, open_screen, project
from tests.unit.dashboard.conftest import LATE, NOW, ON_ITS_WAY, level

HERE = partition_of(LATE, PARTITIONS)
ORIGIN = f"shipments:{HERE}:3"
ID, SOURCE = "cancel-1", "sellers-erp"
CANCEL = SellerCanceled(seller_id=SELLER, reason_code="PricingError")
OPEN = View(kind="letter")


def kept(**changes: Any) -> Kept:
    """A seller's cancel that fulfillment failed at."""
    value = encode(CANCEL, id_=ID, source=SOURCE, subject=LATE, time=NOW)
    letter = Kept(
        topic="shipments",
        partition=HERE,
        offset=3,
        timestamp_ms=to_ms(NOW),
        service="fulfillment",
        reason="decision_failed",
        key=LATE.encode(),
        value=value,
        headers=(("trace", b"\xff"), ("none", None)),
    )
    return letter._replace(**changes)


def look(letter: Kept, view: View | None = None, handled: View = OPEN) -> Outlook:
    copy = as_it_came(letter, PARTITIONS, to_ms(NOW + MINUTE))
    views = {subject_of(copy): view}
    return outlook_of(letter, copy, views, PARTITIONS, Timeline(), handled)


def edited(letter: Kept, **typed: str) -> StoredRecord | NotAnEvent:
    text = as_text(letter)
    assert text is not None
    return as_edited(letter, text._replace(**typed), PARTITIONS, to_ms(NOW + MINUTE))


# -- what would come of it --------------------------------------------------------------------


def test_p6_a_replay_is_the_record_as_it_came_and_names_its_origin() -> None:
    letter = kept()
    copy = as_it_came(letter, PARTITIONS, 0)

    assert (copy.topic, copy.partition) == ("shipments", HERE)
    assert (copy.key, copy.value) == (letter.key, letter.value)
    assert copy.headers == (*letter.headers, (REPLAY_HEADER, ORIGIN.encode()))


def test_a_replay_of_what_was_misrouted_goes_to_its_keys_partition() -> None:
    astray = kept(partition=(HERE + 1) % PARTITIONS, reason="misrouted_twice")

    assert as_it_came(astray, PARTITIONS, 0).partition == HERE


def test_a_replay_of_a_fact_of_ours_goes_where_it_was_and_is_of_no_commit_any_more() -> None:
    headers = ((COMMIT_HEADER, b"7"), ("content-type", b"x"), (REPLAY_HEADER, b"a:1:2"))
    fact = kept(topic="payment.events", partition=2, key=b"K", headers=headers)

    copy = as_it_came(fact, PARTITIONS, 0)

    assert copy.partition == 2
    assert copy.headers == (("content-type", b"x"), (REPLAY_HEADER, fact.origin.encode()))


def test_an_event_that_nobody_has_decided_would_be() -> None:
    assert look(kept(), View(kind="order", order=unshipped())).verdict == "decided"


def test_one_that_its_service_has_decided_would_change_nothing() -> None:
    decided = Entry("order.canceled.v1", 0, 0, "fulfillment.events", 1, "", ID, SOURCE, {})
    elsewhere = decided._replace(topic="payment.events")
    parked = decided._replace(type="event.parked.v1")

    def view(entry: Entry) -> View:
        return View(kind="order", order=unshipped(), timeline=(entry,))

    assert look(kept(), view(decided)).verdict == "repeat"
    assert look(kept(), view(elsewhere)).verdict == "decided"
    assert look(kept(), view(parked)).verdict == "decided"


def test_r25_what_waited_for_its_order_in_vain_waits_again_unless_it_is_there_now() -> None:
    in_vain = kept(reason="no_such_order")

    assert look(in_vain).verdict == "waits"
    assert look(in_vain, View(kind="order", order=unshipped())).verdict == "decided"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"value": b"{"}, "not_json"),
        ({"key": b"another"}, "key_is_not_subject"),
        ({"value": b'{"type":"order.teleported.v1"}'}, "unknown_type: allowed on shipments"),
    ],
)
def test_p6_what_is_still_no_event_says_why(changes: dict[str, Any], detail: str) -> None:
    found = look(kept(**changes))

    assert (found.verdict, found.sends) == ("unread", False)
    assert detail in found.detail


@pytest.mark.parametrize(
    ("changes", "done", "detail"),
    [
        ({"topic": "toys"}, (), "no topic of this system"),
        ({"truncated": True}, (), "only a part of it was kept"),
        ({}, (Handled("discarded", "dashboard/a", 0, 0, reason="Mine"),), "discarded: Mine"),
        ({}, (Handled("edited", "dashboard/a", 0, 0, copy_at="shipments:1:9"),), "shipments:1:9"),
    ],
)
def test_what_can_not_be_replayed_says_why(
    changes: dict[str, Any], done: tuple[Handled, ...], detail: str
) -> None:
    found = look(kept(**changes), handled=View(kind="letter", handled=done))

    assert (found.verdict, found.sends) == ("impossible", False)
    assert detail in found.detail


def test_what_was_replayed_may_be_again_since_its_event_is_known() -> None:
    done = Handled("replayed", "dashboard/a", 0, 0, copy_at="shipments:1:9")

    assert look(kept(), handled=View(kind="letter", handled=(done,))).verdict == "decided"


# -- edited copies ----------------------------------------------------------------------------


TEXT = kept(headers=(("content-type", b"application/cloudevents+json"),))


def test_p3_an_edited_copy_has_an_id_of_its_own_the_same_however_often_it_is_sent() -> None:
    assert TEXT.value is not None
    mended = TEXT.value.decode().replace("PricingError", "NoInventory")
    copy, again = edited(TEXT, value=mended), edited(TEXT, value=mended)
    other = edited(TEXT, value=mended.replace("NoInventory", "CustomerExchange"))

    assert isinstance(copy, StoredRecord)
    assert isinstance(other, StoredRecord)
    assert copy == again
    event = json.loads(copy.value or b"")
    assert event["replayof"] == ORIGIN
    assert event["data"]["reason_code"] == "NoInventory"
    assert len({ID, event["id"], json.loads(other.value or b"")["id"]}) == 3
    assert copy.headers[-1] == (REPLAY_HEADER, ORIGIN.encode())


def test_p3_an_edited_copy_in_binary_mode_too() -> None:
    headers = {"specversion": "1.0", "id": ID, "source": SOURCE, "type": CANCEL.TYPE}
    binary = kept(
        value=CANCEL.model_dump_json().encode(),
        headers=tuple((f"ce_{name}", text.encode()) for name, text in headers.items()),
    )
    text = as_text(binary)
    assert text is not None
    copy = edited(binary, headers=f"{text.headers}\nce_subject: {LATE}\nce_time: {NOW.isoformat()}")

    assert isinstance(copy, StoredRecord)
    assert [v for n, v in copy.headers if n == "ce_replayof"] == [ORIGIN.encode()]
    assert len({v for n, v in copy.headers if n == "ce_id"} - {ID.encode()}) == 1
    found = outlook_of(binary, copy, {}, PARTITIONS, Timeline(), OPEN)
    assert found.verdict == "decided"


def test_p3_an_edited_copy_has_its_own_id_where_its_value_is_the_event_beside_ce_headers() -> None:
    both = kept(headers=(*TEXT.headers, ("ce_specversion", b"1.0"), ("ce_id", b"another")))
    assert both.value is not None
    copy = edited(both, value=both.value.decode().replace("PricingError", "NoInventory"))

    assert isinstance(copy, StoredRecord)
    event = json.loads(copy.value or b"")
    assert (event["id"] != ID, event["replayof"]) == (True, ORIGIN)


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({}, "value"),
        ({"value": "{"}, "value"),
        ({"value": "[]"}, "value"),
        ({"value": '{"a":1,"a":2}'}, "value"),
        ({"value": "9" * 100_001}, "value"),
        ({"key": ""}, "key"),
        ({"key": "k" * 129}, "key"),
        ({"headers": "no colon"}, "headers"),
    ],
)
def test_what_was_typed_wrong_is_told_at_its_field(typed: dict[str, str], field: str) -> None:
    found = edited(TEXT, **typed)

    assert isinstance(found, NotAnEvent)
    assert found.field == field


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": "payment.events"},
        {"truncated": True},
        {"value": b"\xff"},
        {"value": b"9" * 100_001},
        {"key": b"k" * 129},
        {"headers": (("odd\udcff", b""),)},
        {"headers": (("two", b"a\nb"),)},
        {"headers": (("two", "a\u2028ce_type: b".encode()),)},
        {"headers": (("na:me", b"a"),)},
    ],
)
def test_what_is_no_text_or_a_fact_of_ours_is_not_edited(changes: dict[str, Any]) -> None:
    assert as_text(kept(**{"headers": (), **changes})) is None


# -- on the pages -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    data_dir = tmp_path_factory.mktemp("letters")
    redis = choose_redis(data_dir, data_dir / "redis.log", redis_url=None)
    redis.start()
    yield redis
    redis.stop()


class Desk:
    """The pages with some letters, whose projection reads what is told there."""

    def __init__(self, redis_url: str) -> None:
        self.redis_url = redis_url
        self.teller = Teller()
        self.teller.live(LATE, order_placed(order_id=LATE), *ON_ITS_WAY)
        self.bad = self.bury(b"{", "not_json", 4)
        self.good = self.bury(TEXT.value or b"", "decision_failed", 3)
        self._told = 0

    def bury(self, value: bytes, reason: str, offset: int) -> str:
        headers = TEXT.headers
        record = StoredRecord("shipments", HERE, offset, 0, LATE.encode(), value, headers)
        self.teller.bury(DeadLetter(record, reason, "because"), "fulfillment", NOW - MINUTE)
        return f"shipments:{HERE}:{offset}"

    async def catch_up(self, screen: Screen | None = None, at: datetime = NOW) -> None:
        """Project what was told, on the pages too."""
        for said in screen.said if screen else ():
            value = encode(
                said.fact, id_=said.id, source=said.source, subject=said.subject, time=at
            )
            self.teller.tell(said.topic.name, said.subject, value, at)
        redis = connect(self.redis_url)
        await project(redis, self.teller.records[self._told :])
        self._told = len(self.teller.records)
        await redis.aclose()
        if screen:
            screen.said.clear()
            await screen.parts.follower.look()


@pytest_asyncio.fixture
async def desk(server: RedisServer) -> Desk:
    redis = connect(server.redis_url)
    await redis.flushall()
    await redis.aclose()
    found = Desk(server.redis_url)
    await found.catch_up()
    return found


@pytest_asyncio.fixture
async def screen(desk: Desk) -> AsyncIterator[Screen]:
    async with open_screen(desk.redis_url, NOW, desk.teller.records) as opened:
        yield opened


async def post(screen: Screen, address: str, **form: str) -> Any:
    session = await screen.parts.sessions.of(screen.client.cookies[COOKIE])
    assert session is not None
    sent = {"csrf": session.csrf, "key": "0" * 32, **form}
    return await screen.client.post(address, data=sent)


@pytest.mark.asyncio
async def test_looking_at_all_says_what_would_come_of_each_and_sends_nothing(
    screen: Screen,
) -> None:
    page = await screen.get("/letters/selected?all=yes")

    assert "1 would be decided; 1 would be a dead letter again" in " ".join(page.split())
    assert ">Replay 1</button>" in page
    assert (screen.sent, screen.said) == ([], [])


@pytest.mark.asyncio
async def test_what_is_replayed_is_sent_as_it_came_and_told_with_who_did_it(
    screen: Screen, desk: Desk
) -> None:
    origins = f"{desk.bad} {desk.good}"
    answer = await post(screen, "/letters/selected", do="replay", origins=origins)

    assert answer.headers["location"] == "/letters?done=replay&n=1&left=1"
    (copy,) = screen.sent
    assert (copy.topic, copy.partition, copy.value) == ("shipments", HERE, TEXT.value)
    (told,) = screen.said
    assert (told.topic, told.source) == (DASHBOARD_EVENTS, "dashboard/operator")
    assert told.fact == LetterReplayed(
        letter=desk.good, by="operator", copy_at=f"shipments:{HERE}:101", record_key=LATE
    )

    await desk.catch_up(screen)
    assert desk.good not in await screen.get("/letters")
    assert "replayed</span> <small>by operator" in await screen.get("/letters?state=replayed")
    assert f'href="/records/shipments/{HERE}/101"' in await screen.get(
        f"/letters/shipments/{HERE}/3"
    )
    order = " ".join((await screen.get(f"/orders/{LATE}")).split())
    assert "decision failed" in order
    assert "replayed by operator" in order
    audit = await screen.get(f"/audit?person=operator&about={LATE}")
    assert "Dead letter replayed" in audit
    assert f'href="/letters/shipments/{HERE}/3"' in audit


@pytest.mark.asyncio
async def test_what_was_decided_meanwhile_is_not_sent_again(screen: Screen, desk: Desk) -> None:
    done = RequestRefused(request_id=ID, request_type=CANCEL.TYPE, reason="order_canceled")
    causes = {"causation_id": ID, "causation_source": SOURCE}
    desk.teller.say(FULFILLMENT_EVENTS, done, LATE, NOW, 9, **causes)
    await desk.catch_up(screen)

    assert "is known already" in await screen.get(f"/letters/selected?origin={desk.good}")
    answer = await post(screen, "/letters/selected", do="replay", origins=desk.good)

    assert answer.headers["location"] == "/letters?done=replay&n=0&left=1"
    assert (screen.sent, screen.said) == ([], [])


@pytest.mark.asyncio
async def test_a_double_click_replays_once(screen: Screen, desk: Desk) -> None:
    for _ in range(2):
        twice = f"{desk.good} {desk.good}"
        answer = await post(screen, "/letters/selected", do="replay", origins=twice)
        assert answer.status_code == 303

    assert len(screen.sent) == len(screen.said) == 1


@pytest.mark.asyncio
async def test_what_failed_on_its_way_may_be_tried_again(
    screen: Screen, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> int:
        raise TransientError("Kafka is away")

    with monkeypatch.context() as patched:
        patched.setattr(type(screen.parts.desk), "send", away)
        failed = await post(screen, "/letters/selected", do="replay", origins=desk.good)
        assert failed.status_code == 503
    await post(screen, "/letters/selected", do="replay", origins=desk.good)

    assert len(screen.sent) == 1


@pytest.mark.asyncio
async def test_a_letter_is_discarded_with_a_reason_and_leads_to_nothing_then(
    screen: Screen, desk: Desk
) -> None:
    silent = await post(screen, "/letters/selected", do="discard", origins=desk.bad, reason=" ")
    assert silent.status_code == 422
    assert "Say why" in silent.text

    reason = "<i>of another shop"
    typed = "<i>of\x00another\x7fshop"
    await post(screen, "/letters/selected", do="discard", origins=desk.bad, reason=typed)

    (told,) = screen.said
    assert told.fact == LetterDiscarded(
        letter=desk.bad, by="operator", reason=reason, record_key=LATE
    )
    await desk.catch_up(screen)
    page = await screen.get("/letters?state=discarded")
    assert desk.bad in page
    assert "&lt;i&gt;of another shop" in page
    again = {"do": "discard", "origins": desk.bad, "reason": "Once more", "key": "1" * 32}
    await post(screen, "/letters/selected", **again)
    assert screen.said == []
    assert "it was discarded" in await screen.get(f"/letters/selected?origin={desk.bad}")


@pytest.mark.asyncio
async def test_an_edited_copy_is_looked_at_then_sent_and_nothing_else_is_sent_of_the_letter(
    screen: Screen, desk: Desk
) -> None:
    address = f"/letters/{desk.bad.replace(':', '/')}"
    assert "A copy can be edited once what it holds is shown" in await screen.get(address)
    assert '<textarea id="edit-value"' in await screen.get(f"{address}?show=personal")
    typed = {"key_text": LATE, "headers": "", "value": "{<"}

    wrong = await post(screen, f"{address}/edit", **typed, do="send")
    assert wrong.status_code == 422
    assert "{&lt;" in wrong.text
    assert "at value: not_json" in wrong.text
    typed["value"] = (TEXT.value or b"").decode()
    looked = await post(screen, f"{address}/edit", **typed, do="look")
    assert "The copy would be decided" in looked.text
    assert screen.sent == []

    sent = await post(screen, f"{address}/edit", **typed, do="send")

    assert sent.headers["location"] == f"{address}?sent=edit"
    (copy,) = screen.sent
    assert json.loads(copy.value or b"")["replayof"] == desk.bad
    assert isinstance(screen.said[0].fact, LetterReplayed)
    assert screen.said[0].fact.edited
    await desk.catch_up(screen)
    assert (await post(screen, f"{address}/edit", **typed, do="send")).status_code == 409
    assert "an edited copy was sent" in await screen.get(address)


@pytest.mark.asyncio
async def test_a_viewer_sees_letters_and_does_nothing_with_them(desk: Desk) -> None:
    async with open_screen(desk.redis_url, NOW, desk.teller.records, role="viewer") as reading:
        page = await reading.get("/letters")
        assert desk.good in page
        assert "checkbox" not in page
        assert 'id="acts"' not in await reading.get(f"/letters/{desk.good.replace(':', '/')}")
        await reading.get(f"/letters/selected?origin={desk.good}", 403)
        for address in ("/letters/selected", f"/letters/{desk.good.replace(':', '/')}/edit"):
            assert (await post(reading, address, do="replay", origins=desk.good)).status_code == 403
        assert (reading.sent, reading.said) == ([], [])


@pytest.mark.asyncio
async def test_what_no_page_of_this_session_sent_is_refused(screen: Screen, desk: Desk) -> None:
    answer = await post(screen, "/letters/selected", csrf="x", do="replay", origins=desk.good)

    assert answer.status_code == 403
    assert screen.sent == []


@pytest.mark.asyncio
async def test_what_an_operator_did_to_an_order_is_in_the_audit(screen: Screen, desk: Desk) -> None:
    refused = RequestRefused(
        request_id="act-1", request_type=CANCEL.TYPE, reason="order_canceled", detail="<b>"
    )
    for topic, fact in ((NOTICES, refused), (FULFILLMENT_EVENTS, refused)):
        desk.teller.say(
            topic, fact, LATE, NOW, 9, causation_id="act-1", causation_source="dashboard/anna"
        )
    await desk.catch_up(screen)

    page = await screen.get("/audit?person=anna")

    assert f'href="/orders/{LATE}"' in page
    assert "1 act" in page, "of all facts of one act, the one about the order itself"
    assert "/records/fulfillment.events/" in page
    assert "&lt;b&gt;" in page
    assert "No acts" in await screen.get("/audit?person=operator")


@pytest.mark.asyncio
async def test_what_somebody_said_of_stock_is_in_the_audit(screen: Screen, desk: Desk) -> None:
    for version, source in ((1, "warehouse"), (2, "orderflow-cli/anna"), (3, "orderflow-cli/anna")):
        changed = level(KETTLE, version, 5, 5 * version, 0)
        desk.teller.say(
            STOCK_LEVELS, changed, stock_subject(SELLER, KETTLE), NOW, version,
            causation_id=f"said-{version}", causation_source=source,
        )  # fmt: skip
    await desk.catch_up(screen)

    page = await screen.get(f"/audit?about={stock_subject(SELLER, KETTLE)}")

    assert "2 acts" in page
    assert "Stock +5, now 15 on hand" in page
    assert "anna <small>command line</small>" in page


@pytest.mark.asyncio
async def test_a_form_for_a_copy_takes_a_large_event_and_no_more(
    screen: Screen, desk: Desk
) -> None:
    address = f"/letters/{desk.bad.replace(':', '/')}/edit"

    fits = await post(screen, address, key_text=LATE, value="9" * 300_000, headers="")
    assert (fits.status_code, "at most 100000 bytes" in fits.text) == (422, True)
    assert (await post(screen, address, value="9" * 400_000)).status_code == 413
    assert (await post(screen, "/letters/selected", reason="9" * 70_000)).status_code == 413
