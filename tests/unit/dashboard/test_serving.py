"""The process that serves the pages, and the files of others that they are live with."""

import json
import re
from pathlib import Path

import pytest

from services.dashboard.web import assets
from services.dashboard.web.app import guard
from services.dashboard.web.assets import found_assets
from shared.errors import RefusedStart
from shared.http_server import listen
from tests.support.screen import Screen


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:8080", "http://[::]:8080", "http://192.0.2.7", "https://shop.example"]
)
async def test_beyond_this_machine_nothing_is_served_while_nobody_has_an_account(
    url: str, door: Screen
) -> None:
    accounts = door.parts.accounts
    with pytest.raises(RefusedStart, match=f"served as {re.escape(url)}, and nobody has"):
        await guard(accounts, url)

    for loopback in ("http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"):
        await guard(accounts, loopback)
    await accounts.accept(await accounts.invite("anna", "viewer"), "seven kettles on a shelf")
    await guard(accounts, url)


def test_a_port_that_is_taken_is_named() -> None:
    with listen("DASHBOARD", "127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(RefusedStart, match=f"DASHBOARD_PORT {port} on DASHBOARD_HOST"):
            listen("DASHBOARD", "127.0.0.1", port)


def test_without_all_of_the_others_files_pages_use_none_of_them(tmp_path: Path) -> None:
    names = [*assets._SCRIPTS.values(), *assets._STYLES.values()]
    for name in names:
        assert not found_assets(tmp_path).files
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    assert len(found_assets(tmp_path).files) == len(names)


def test_every_file_of_others_is_pinned_by_its_hash_and_comes_from_no_named_host() -> None:
    lock = assets.STATIC.parent / "package-lock.json"
    packages = json.loads(lock.read_text())["packages"]

    wanted = {f"node_modules/{name.split('/')[0]}" for name in assets._SCRIPTS.values()}
    assert packages.keys() - {""} == wanted
    assert all(packages[name]["integrity"].startswith("sha512-") for name in wanted)
    assert "://" not in lock.read_text()
