"""Personal data is found by check digits and numbering plans, masked once, and not seen where it is not."""

import pytest

from studio.data.sensitive import (
    has_address,
    has_card,
    has_email,
    has_id,
    has_phone,
    has_secret,
    mask_addresses,
    mask_cards,
    mask_emails,
    mask_ids,
    mask_phones,
    mask_secrets,
)
from tests.benchmarks.pii import MARKED, found_by_kind


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Call (212) 555-0123 now", "Call [phone] now"),
        ("電話は０３－３４５６－７８９０です", "電話は[phone]です"),
        ("090-1234-5678まで", "[phone]まで"),
        ("+81 90-1234-5678", "[phone]"),
        ("+44 20 7946 0958.", "[phone]."),
        ("Tel: 555 0199 22", "Tel: [phone]"),
    ],
)
def test_phones(text: str, masked: str) -> None:
    assert has_phone(text)
    assert mask_phones(text) == masked
    assert mask_phones(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "In 2023-04-05 there were 28980 - 18480 = 10500 bales",
        "the years 1914-1918",
        "192.168.10.23",
        "12,345,678 yen",
        "1234567890",
        "3.14159265358979",
        "It costs $1 234 567",
        "version 10.20.30.40",
        "ISBN 978-3-16-148410-0",
        "4111 1111 1111 1111",
        "123-45-6789",
        "2020/12/31",
        "円周率は3.1415926535です",
        "8 9 10 11 12 13 14",
        "00:00:12.345678",
    ],
)
def test_no_phones(text: str) -> None:
    assert not has_phone(text)
    assert mask_phones(text) == text


def test_cards() -> None:
    assert mask_cards("4111 1111 1111 1111, 378282246310005") == "[card], [card]"
    for text in ("4111 1111 1111 1112", "1234567812345670", "0.4111111111111111", "order 41111111111111111111"):
        assert not has_card(text)


def test_ids() -> None:
    assert mask_ids("マイナンバーは123456789018です") == "マイナンバーは[id]です"
    assert mask_ids("1234 5678 9018") == "[id]"
    assert mask_ids("SSN 123-45-6789, IBAN DE89 3704 0044 0532 0130 00.") == "SSN [id], IBAN [id]."
    for text in (
        "123456789018",
        "マイナンバーは123456789012です",
        "000-12-3456",
        "DE89 3704 0044 0532 0130 01",
        "AB12 CDEF GHIJ",
    ):
        assert not has_id(text)


def test_addresses() -> None:
    assert mask_addresses("〒150-0001 東京都渋谷区神宮前1-2-3に送る") == "[address]に送る"
    assert mask_addresses("大阪府大阪市北区梅田三丁目1番3号です") == "[address]です"
    assert mask_addresses("Come to 221B, Baker Street.") == "Come to [address]"
    for text in (
        "東京都は人口が多い",
        "京都府に3回行った",
        "5 Nice People on the Road",
        "in 1990 Mr. Drake left",
        "第2回大会",
    ):
        assert not has_address(text)


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (mask_emails, "a.b@example.com and c@d.org"),
        (mask_phones, "Phone 03-3456-7890 or 090-1234-5678"),
        (mask_cards, "4111111111111111 4111 1111 1111 1111"),
        (mask_ids, "個人番号 1234 5678 9018"),
        (mask_addresses, "10 Downing Street, and 東京都港区芝公園4-2-8"),
        (mask_secrets, "password: hunter2hunter and ghp_" + "a1" * 18),
    ],
)
def test_masking_twice_is_masking_once(mask, text: str) -> None:
    once = mask(text)
    assert once != text
    assert mask(once) == once
    tests = (has_email, has_phone, has_card, has_id, has_address, has_secret)
    assert not any(test(once) for test in tests)


@pytest.mark.skipif(not MARKED.is_file(), reason="no ../shared/data here")
def test_marked_by_others() -> None:
    told = found_by_kind(MARKED)
    for kind in ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN"):
        assert (told[kind].precision, told[kind].recall) == (1.0, 1.0), kind
    # Addresses are marked piece by piece (a house number, a state) in many countries' ways; only whole ones are found.
    assert told["ADDRESS"].precision == 1.0
