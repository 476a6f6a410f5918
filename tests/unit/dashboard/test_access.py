"""Who comes in, and what he may do."""

from typing import Any

import pytest

from services.dashboard.accounts import INVITED_S, MAX_TRIES
from services.dashboard.web.access import COOKIE, way_in
from services.dashboard.web.site import ROUTES
from shared.errors import TransientError
from tests.support.screen import Screen
from tests.unit.dashboard.conftest import LATE

pytestmark = pytest.mark.asyncio

PASSWORD = "seven kettles on a shelf"
OPEN = ("/sign-in", "/welcome", "/health", "/health/{of}", "/metrics")


async def invited(door: Screen, name: str = "anna", role: Any = "operator") -> str:
    return way_in(await door.parts.accounts.invite(name, role))


async def sign_in(door: Screen, password: str, name: str = "anna", **query: str) -> Any:
    form = {"name": name, "password": password}
    return await door.client.post("/sign-in", data=form, params=query)


async def test_whom_nobody_knows_is_shown_no_page_but_the_door(door: Screen) -> None:
    for route in ROUTES:
        if route.path in OPEN:
            continue
        address = route.path.replace(":path}", "}").replace(":int}", "}")
        answers = [await door.client.request(method, address) for method in route.methods or ()]
        assert {answer.status_code for answer in answers} <= {303, 401}, address
        assert all(LATE not in answer.text for answer in answers)

    turned = await door.client.get("/orders?status=Shipped")
    assert turned.headers["location"] == "/sign-in?next=/orders%3Fstatus%3DShipped"


async def test_a_link_is_good_once_and_opening_it_does_not_use_it_up(door: Screen) -> None:
    link = await invited(door)
    assert "Welcome, anna" in await door.get(link)
    assert "Welcome, anna" in await door.get(link)

    came_in = await door.client.post(link, data={"password": PASSWORD})

    assert (came_in.status_code, came_in.headers["location"]) == (303, "/")
    assert "anna" in await door.get("/")
    assert "This link is over" in await door.get(link, 404)
    assert (await door.client.post(link, data={"password": PASSWORD})).status_code == 404


async def test_a_newer_link_takes_the_place_of_the_one_before_and_ends_in_a_day(
    door: Screen,
) -> None:
    older, newer = await invited(door), await invited(door)

    await door.get(older, 404)
    await door.get(newer)
    ends_s = await door.parts.accounts._redis.ttl("dashboard:invited:anna")
    assert INVITED_S - 60 < ends_s <= INVITED_S


async def test_who_chose_a_password_signs_in_by_it_and_out_again(door: Screen) -> None:
    await door.client.post(await invited(door), data={"password": PASSWORD})
    door.client.cookies.clear()
    assert (await sign_in(door, "seven kettles on a shelf!")).status_code == 401
    assert (await sign_in(door, PASSWORD, name="nobody")).status_code == 401

    came_in = await sign_in(door, PASSWORD, next="/stock")

    assert came_in.headers["location"] == "/stock"
    cookie = came_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    token = door.client.cookies[COOKIE]
    session = await door.parts.sessions.of(token)
    assert session is not None
    out = await door.client.post("/sign-out", data={"csrf": session.csrf})
    assert out.headers["location"] == "/sign-in"
    door.client.cookies[COOKIE] = token
    assert (await door.client.get("/")).status_code == 303


async def test_what_is_kept_signs_nobody_in(door: Screen) -> None:
    link = await invited(door)
    secret = link.rpartition("%3A")[2]
    await door.client.post(link, data={"password": PASSWORD})
    another = (await invited(door)).rpartition("%3A")[2]
    redis = door.parts.accounts._redis
    kept = [str(await redis.hgetall("dashboard:accounts"))]
    async for key in redis.scan_iter("dashboard:*"):
        kept.append(f"{key!r} {await redis.type(key)!r}")
        if await redis.type(key) == b"string":
            kept.append(repr(await redis.get(key)))

    assert "$argon2id$" in kept[0]
    for each in (PASSWORD, secret, another, door.client.cookies[COOKIE]):
        assert not [line for line in kept if each in line]


async def test_sign_in_is_tried_so_often_and_no_more(door: Screen) -> None:
    await door.client.post(await invited(door), data={"password": PASSWORD})
    door.parts.accounts._hasher = type(door.parts.accounts._hasher)(1, 8, 1)  # quick
    tries = [(await sign_in(door, f"wrong password {n}")).status_code for n in range(MAX_TRIES)]

    assert tries == [401] * MAX_TRIES
    assert (await sign_in(door, PASSWORD)).status_code == 429


@pytest.mark.parametrize("onward", ["//evil.example/", "/\\evil.example", "https://evil.example"])
async def test_signing_in_leads_to_no_other_site(door: Screen, onward: str) -> None:
    await door.client.post(await invited(door), data={"password": PASSWORD})

    assert (await sign_in(door, PASSWORD, next=onward)).headers["location"] == "/"


async def test_a_password_is_not_short(door: Screen) -> None:
    link = await invited(door)

    answer = await door.client.post(link, data={"password": "eleven chars"[:11]})

    assert answer.status_code == 422
    assert "A password has 12 to 256 characters" in answer.text
    await door.get(link)


async def test_without_a_password_a_visit_is_all_and_the_next_first_one_gets_a_link(
    door: Screen,
) -> None:
    first = await door.parts.accounts.first_invitation()
    assert first is not None
    await door.client.post(way_in(first), data={"password": ""})
    assert "operator" in await door.get("/")

    assert await door.parts.accounts.every() == []
    again = await door.parts.accounts.first_invitation()
    assert again is not None
    await door.client.post(way_in(again), data={"password": PASSWORD})
    assert await door.parts.accounts.first_invitation() is None


async def test_an_account_that_is_taken_away_ends_its_sessions(door: Screen) -> None:
    await door.client.post(await invited(door), data={"password": PASSWORD})
    assert await door.parts.accounts.remove("anna")
    assert (await door.client.get("/")).status_code == 303

    token = door.client.cookies[COOKIE]
    await door.client.post(await invited(door, role="viewer"), data={"password": PASSWORD})
    door.client.cookies[COOKIE] = token
    assert (await door.client.get("/")).status_code == 303


async def test_a_form_of_another_site_or_sign_in_does_nothing(screen: Screen) -> None:
    elsewhere = {"origin": "http://evil.example"}
    session = await screen.parts.sessions.of(screen.client.cookies[COOKIE])
    assert session is not None

    for form, headers in (({}, {}), ({"csrf": "0" * 64}, {}), ({"csrf": session.csrf}, elsewhere)):
        answer = await screen.client.post("/sign-out", data=form, headers=headers)
        assert answer.status_code == 403
    await screen.get("/")


async def test_who_is_signed_in_reads_on_while_redis_is_away(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise TransientError("Redis did not answer within 5 s")

    await screen.get("/orders")
    monkeypatch.setattr("shared.redis.Pipeline.run", away)

    assert LATE in await screen.get("/orders")
    screen.client.cookies[COOKIE] = "somebody-else"
    assert "Away for now" in await screen.get("/orders", 503)
