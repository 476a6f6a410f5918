"""The files that sellers upload: what is good becomes facts, the rest is told by line and field."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from shared import upload_rows
from shared.events.fields import MAX_ITEMS, ItemQuantity
from shared.events.seller import SellerCanceled, ShipmentConfirmed
from shared.upload_rows import BadRow, RefusedFile
from shared.uploads import Upload, event_id, package_reference, read_cancel, read_ship_confirm

SELLER = "A3LUMEN"
HEADER = (
    "order-id\torder-item-id\tquantity\tship-date\tcarrier-code\tcarrier-name\t"
    "tracking-number\tship-method"
)
KETTLES = "902-1\titem-kettle\t2\t2026-03-12T10:30:00+01:00\tDHL\t\tDHL-0007\tair mail"
TEA = "902-1\titem-tea\t1\t2026-03-12T10:30:00+01:00\tDHL\t\tDHL-0007\tair mail"
POET = "902-2\titem-1\t1\t2026-03-12\tOther\tPony & Söhne\tPONY-1"


def confirmed(*rows: str, header: str = HEADER, **more: ZoneInfo) -> Upload:
    return read_ship_confirm("\n".join([header, *rows]).encode(), SELLER, **more)


def row(**cells: str) -> str:
    """A good row, but for these cells."""
    good = dict(zip(HEADER.split("\t"), POET.split("\t"), strict=False))
    return "\t".join(
        (good | {name.replace("_", "-"): cell for name, cell in cells.items()}).values()
    )


def test_r11_rows_of_one_parcel_are_one_package() -> None:
    found = confirmed(KETTLES, POET, TEA)

    assert (found.rows, found.bad) == (3, ())
    package, poet = found.said
    assert (package.order_id, package.lines) == ("902-1", (2, 4))
    assert package.fact == ShipmentConfirmed(
        seller_id=SELLER,
        package_reference_id=package_reference("902-1", "DHL-0007", ["item-tea", "item-kettle"]),
        carrier_code="DHL",
        shipping_method="air mail",
        tracking_number="DHL-0007",
        ship_date=datetime(2026, 3, 12, 9, 30, tzinfo=UTC),
        order_items=(
            ItemQuantity(order_item_id="item-kettle", quantity=2),
            ItemQuantity(order_item_id="item-tea", quantity=1),
        ),
    )
    assert isinstance(poet.fact, ShipmentConfirmed)
    assert (poet.lines, poet.fact.carrier_name) == ((3,), "Pony & Söhne")


@pytest.mark.parametrize(
    ("changed", "one"),
    [
        ({}, True),
        ({"ship_date": "2026-03-13"}, False),
        ({"carrier_code": "UPS"}, False),
        ({"carrier_name": "Esel"}, False),
        ({"ship_method": "by night"}, False),
        ({"tracking_number": "PONY-2"}, False),
        ({"order_id": "902-3"}, False),
        ({"ship_date": "2026-03-12T00:00Z"}, True),
    ],
)
def test_r11_what_is_told_otherwise_is_another_package(changed: dict[str, str], one: bool) -> None:
    found = confirmed(POET, row(order_item_id="item-2", **changed))

    assert found.bad == ()
    assert len(found.said) == (1 if one else 2)
    references = {said.fact.package_reference_id for said in found.said}  # type: ignore[union-attr]
    assert len(references) == len(found.said)


@pytest.mark.parametrize(
    ("changed", "field", "allowed"),
    [
        ({"order_id": ""}, "order-id", "an order id: 1 to 64 letters, digits and . _ : -"),
        ({"order_id": "902 1"}, "order-id", "an order id"),
        ({"order_item_id": ""}, "order-item-id", "an item's id"),
        ({"order_item_id": "5.81E+13"}, "order-item-id", "an item's id"),
        ({"quantity": ""}, "quantity", "a whole number from 1 to 10000"),
        ({"quantity": "0"}, "quantity", "a whole number"),
        ({"quantity": "10001"}, "quantity", "a whole number"),
        ({"quantity": "-1"}, "quantity", "a whole number"),
        ({"quantity": "1.0"}, "quantity", "a whole number"),
        ({"quantity": "²"}, "quantity", "a whole number"),
        ({"quantity": "9" * 5_000}, "quantity", "a whole number"),
        ({"ship_date": ""}, "ship-date", "a day or a time such as 2026-03-11T09:30:00+01:00"),
        ({"ship_date": "03/12/2026"}, "ship-date", "a day or a time"),
        ({"ship_date": "2026-02-29"}, "ship-date", "a day or a time"),
        ({"ship_date": "1999-12-31"}, "ship-date", "a day or a time"),
        ({"ship_date": "0001-01-01T00:00+14:00"}, "ship-date", "a day or a time"),
        ({"ship_date": "9999-12-31T23:59-12:00"}, "ship-date", "a day or a time"),
        ({"carrier_code": ""}, "carrier-code", "the carrier's code, or Other"),
        ({"carrier_name": ""}, "carrier-name", "the carrier's name, where carrier-code is Other"),
        ({"carrier_name": "x" * 201}, "carrier-name", "at most 200 characters"),
        ({"carrier_name": "a\x1b[2J"}, "carrier-name", "at most 200 characters"),
        ({"tracking_number": " "}, "tracking-number", "the carrier's number of the package"),
        ({"tracking_number": "x" * 201}, "tracking-number", "the carrier's number"),
    ],
)
def test_r11_a_bad_cell_is_told_with_its_line_its_field_and_what_is_allowed(
    changed: dict[str, str], field: str, allowed: str
) -> None:
    found = confirmed(KETTLES, row(**changed), TEA)

    (bad,) = found.bad
    assert (bad.line, bad.field) == (3, field)
    assert bad.reason.startswith(f"has to be {allowed}")
    assert [said.lines for said in found.said] == [(2, 4)]


def test_r11_everything_that_is_wrong_in_a_row_is_told() -> None:
    found = confirmed("\t\tmany\tsoon")

    assert {bad.line for bad in found.bad} == {2}
    assert [bad.field for bad in found.bad] == [
        "carrier-code", "order-id", "order-item-id", "quantity", "ship-date", "tracking-number",
    ]  # fmt: skip


def test_r11_a_package_with_a_bad_row_is_left_out_as_a_whole() -> None:
    found = confirmed(KETTLES, POET, TEA.replace("\t1\t", "\tone\t"))

    assert [said.order_id for said in found.said] == ["902-2"]
    assert found.bad == (
        BadRow(2, "", "left out: line 4 belongs with it, and is bad"),
        BadRow(4, "quantity", "has to be a whole number from 1 to 10000"),
    )


def test_r11_the_first_bad_row_of_a_package_is_named_to_the_others() -> None:
    found = confirmed(
        row(), row(order_item_id="b", quantity="0"), row(order_item_id="c", quantity="")
    )

    assert found.bad[0] == BadRow(2, "", "left out: line 3 belongs with it, and is bad")


def test_r11_rows_that_lack_the_same_are_not_taken_for_one_package() -> None:
    without = row(tracking_number="")

    found = confirmed(without, without, '"', '"')

    assert [bad.field for bad in found.bad] == ["tracking-number", "tracking-number", "", ""]


@pytest.mark.parametrize("again", [KETTLES, KETTLES.replace("2026-03-12", "2026-03-13")])
def test_r11_an_item_is_in_a_parcel_once(again: str) -> None:
    found = confirmed(KETTLES, TEA, again)

    assert found.said == ()
    assert found.bad[-1] == BadRow(
        4, "order-item-id", "is in this package by line 2: one row for all its units"
    )


def test_r11_a_package_has_as_many_items_as_an_order_may_have() -> None:
    rows = [row(order_item_id=f"item-{n}") for n in range(MAX_ITEMS + 1)]

    (said,) = confirmed(*rows[:-1]).said
    assert len(said.lines) == MAX_ITEMS
    too_many = confirmed(*rows)
    assert too_many.said == ()
    assert too_many.bad[-1] == BadRow(102, "order-item-id", "a package has at most 100 items")


@pytest.mark.parametrize(
    ("cell", "berlin"),
    [
        ("2026-03-12", "2026-03-11T23:00:00+00:00"),
        ("2026-03-12T10:30", "2026-03-12T09:30:00+00:00"),
        ("2026-03-12 10:30:07", "2026-03-12T09:30:07+00:00"),
        ("2026-03-29T02:30", "2026-03-29T01:30:00+00:00"),  # the clock skips it
        ("2026-03-12T10:30Z", "2026-03-12T10:30:00+00:00"),
        ("20260312T103000-0500", "2026-03-12T15:30:00+00:00"),
    ],
)
def test_a_ship_date_without_offset_is_local_to_the_marketplace(cell: str, berlin: str) -> None:
    (said,) = confirmed(row(ship_date=cell), time_zone=ZoneInfo("Europe/Berlin")).said

    assert isinstance(said.fact, ShipmentConfirmed)
    assert said.fact.ship_date == datetime.fromisoformat(berlin)


# -- what sellers' programs make of a file ---------------------------------------------------------


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\n\n\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_utf_8_and_utf_16_and_every_line_end_are_read(encoding: str, line_end: str) -> None:
    text = line_end.join([HEADER, KETTLES, POET, ""])
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""

    found = read_ship_confirm(f"{mark}{text}".encode(encoding), SELLER)

    assert (len(found.said), found.bad) == (2, ())
    assert "Pony & Söhne" in found.said[1].fact.model_dump().values()


def test_a_row_in_latin_1_is_refused_with_its_line_and_its_neighbours_pass() -> None:
    content = "\n".join([HEADER, POET, KETTLES]).encode("latin-1")

    found = read_ship_confirm(content, SELLER)

    says = "is no UTF-8: save the file as UTF-8, or as Unicode text"
    assert found.bad == (BadRow(2, "carrier-name", says),)
    assert [said.order_id for said in found.said] == ["902-1"]


def test_what_was_lost_in_an_earlier_encoding_is_refused_too() -> None:
    for content in (
        "\n".join([HEADER, POET.replace("ö", "\ufffd")]).encode(),
        b"\xff\xfe" + "\n".join([HEADER, POET]).encode("utf-16-le").replace(b"\xf6\0", b"\0\xdc"),
    ):
        assert [bad.field for bad in read_ship_confirm(content, SELLER).bad] == ["carrier-name"]


def test_cells_may_be_quoted_and_the_columns_in_any_order_and_case() -> None:
    header = (
        "Tracking-Number\tnote\tORDER-ID\torder-item-id\tquantity\t ship-date \t"
        "carrier-code\tcarrier-name"
    )
    line = 'T-1\tby\x00hand\t"902-2"\t item-1 \t1\t2026-03-12\t"Other"\t"Pony ""Ost"" & Co"\t\t'

    found = confirmed(line, "\t \t\t", header=header)

    assert (found.rows, found.bad) == (1, ())
    (said,) = found.said
    assert isinstance(said.fact, ShipmentConfirmed)
    assert said.fact.carrier_name == 'Pony "Ost" & Co'
    assert said.fact.shipping_method == ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (POET.replace("PONY-1", '"PONY-1'), "can not be split into cells: it has a quote"),
        (POET.replace("PONY-1", '"PONY"-1'), "can not be split into cells: it has a quote"),
        (f"{KETTLES}\tmore", "has more cells than the first line names"),
    ],
)
def test_a_line_that_is_wrong_as_a_whole_swallows_no_other(line: str, says: str) -> None:
    found = confirmed(line, TEA.replace("902-1", "902-4"), POET.replace("902-2", "902-5"))

    (bad,) = found.bad
    assert (bad.line, bad.field) == (2, "")
    assert bad.reason.startswith(says)
    assert [said.order_id for said in found.said] == ["902-4", "902-5"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no column order-id, order-item-id, quantity, ship-date, carrier-code, tracking"),
        (b"\n\n", "has no column order-id"),
        (HEADER.replace("\t", ",").encode(), "has no column order-id"),
        (HEADER.replace("quantity", "qty").encode(), "has no column quantity: the first line"),
        (f"{HEADER}\tquantity".encode(), "has the column quantity twice"),
        (f'"{HEADER}'.encode(), "has a quote that does not end in its first line"),
        (b"\x89PNG\r\n\x1a\n\x00", "has no column order-id"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(content: bytes, says: str) -> None:
    with pytest.raises(RefusedFile, match=says):
        read_ship_confirm(content, SELLER)


def test_a_file_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    content = "\n".join([HEADER, KETTLES, TEA]).encode()
    monkeypatch.setattr(upload_rows, "MAX_ROWS", 2)
    monkeypatch.setattr(upload_rows, "MAX_FILE_BYTES", len(content) + 2)

    assert read_ship_confirm(content + b"\n\n", SELLER).rows == 2
    with pytest.raises(RefusedFile, match="has more than 2 rows: split it"):
        read_ship_confirm(content + b"\nx", SELLER)
    with pytest.raises(RefusedFile, match=f"has more than {len(content) + 2} bytes: split it"):
        read_ship_confirm(content + b"\n\n\n", SELLER)


# -- said again ------------------------------------------------------------------------------------


def test_the_same_package_has_the_same_reference_in_every_upload() -> None:
    assert package_reference("902-1", "T", ["a", "b"]) == package_reference(
        "902-1", "T", ["b", "a"]
    )
    assert package_reference("902-1", "DHL-0007", ["item-tea", "item-kettle"]) == (
        "285060518964100211"
    )
    others = [("902-2", "T", ["a"]), ("902-1", "U", ["a"]), ("902-1", "T", ["b"])]
    assert (
        len({package_reference("902-1", "T", ["a"]), *(package_reference(*o) for o in others)}) == 4
    )


def test_p3_an_event_has_the_same_id_when_the_same_upload_says_the_same_again() -> None:
    (first,), (again,) = confirmed(POET).said, confirmed(KETTLES, POET).said[1:]
    (other,) = confirmed(POET.replace("\t1\t", "\t2\t")).said

    assert event_id("monday", first) == event_id("monday", again)
    assert event_id("monday", first) != event_id("tuesday", first)
    assert event_id("monday", first) != event_id("monday", other)


# -- cancels ---------------------------------------------------------------------------------------

CANCEL = "order-id\tamazon-order-item-code\tcancellation-reason-code"


def canceled(*rows: str, header: str = CANCEL) -> Upload:
    return read_cancel("\n".join([header, *rows]).encode(), SELLER)


def test_r18_an_order_is_canceled_with_its_reason() -> None:
    found = canceled("902-1\t\tNoInventory", "902-2\t\tPricingError", "902-1\t\tNoInventory")

    assert found.bad == ()
    assert [(said.order_id, said.fact, said.lines) for said in found.said] == [
        ("902-1", SellerCanceled(seller_id=SELLER, reason_code="NoInventory"), (2, 4)),
        ("902-2", SellerCanceled(seller_id=SELLER, reason_code="PricingError"), (3,)),
    ]


@pytest.mark.parametrize(
    ("cells", "items"),
    [
        (["item-kettle"], ("item-kettle",)),
        (["item-kettle", "item-tea", "item-kettle"], ("item-kettle", "item-tea")),
        ([""], ()),
        (["item-kettle", ""], ()),
    ],
)
def test_r18_a_row_without_an_item_is_about_the_whole_order(
    cells: list[str], items: tuple[str, ...]
) -> None:
    (said,) = canceled(*(f"902-1\t{cell}\tNoInventory" for cell in cells)).said

    assert isinstance(said.fact, SellerCanceled)
    assert said.fact.order_item_ids == items


def test_r18_a_bad_row_of_a_cancel_file_is_told_and_its_order_left_out() -> None:
    found = canceled(
        "902-1\titem kettle\tNoInventory",
        "902-2\t\tnoinventory",
        "902-2\titem-tea\tNoInventory",
        "902-3\t\tPricingError",
        "902-4",
        "902-5\titem-kettle\tPricingError",
        "902-5\titem-tea\tNoInventory",
        "902-6\t\tCustomerExchange",
    )

    assert [said.order_id for said in found.said] == ["902-3", "902-6"]
    allowed = (
        "has to be one of NoInventory, BuyerCanceled, ShippingAddressUndeliverable, PricingError, "
        "GeneralAdjustment, CustomerExchange"
    )
    item, reason = "amazon-order-item-code", "cancellation-reason-code"
    assert found.bad == (
        BadRow(2, item, "has to be an item's id, or empty for the whole order"),
        BadRow(3, reason, allowed),
        BadRow(4, "", "left out: line 3 belongs with it, and is bad"),
        BadRow(6, reason, allowed),
        BadRow(7, "", "left out: line 8 belongs with it, and is bad"),
        BadRow(8, reason, "has to be PricingError, as line 7 says"),
    )


def test_r18_an_order_has_as_many_items_as_it_may_have() -> None:
    rows = [f"902-1\titem-{n}\tNoInventory" for n in range(MAX_ITEMS + 1)]

    assert len(canceled(*rows[:-1]).said[0].lines) == MAX_ITEMS
    too_many = canceled(*rows)
    assert too_many.said == ()
    assert too_many.bad[-1] == BadRow(
        102, "amazon-order-item-code", "an order has at most 100 items"
    )


def test_r18_a_cancel_file_may_leave_the_items_out() -> None:
    header = "order-id\tcancellation-reason-code"

    assert [s.order_id for s in canceled("902-1\tNoInventory", header=header).said] == ["902-1"]
