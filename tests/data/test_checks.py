"""Each finding counts the right rows, says so in both languages, and its fix makes it go away."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.broken import is_mendable, is_unreadable, mend
from studio.data.checks import Finding, find
from studio.data.formats import Mapping, convert
from studio.data.sensitive import has_email, has_secret, mask_emails, mask_secrets
from studio.data.tables import Row
from studio.data.tokens import Lengths

PAIR = Mapping(prompt="q", answer="a")


def findings(
    values: list[dict[str, Any]], mapping: Mapping = PAIR, measured: tuple[Lengths, ...] = ()
) -> dict[str, Finding]:
    rows = [Row(i, item) for i, item in enumerate(values, 1)]
    found = find(rows, mapping, [(row.id, convert(row, mapping)) for row in rows], measured, 64)
    for finding in found:
        assert finding.message("en") != finding.message("ja")
        assert finding.share == finding.count / len(rows)
        assert len(finding.examples) <= finding.count
    order = ["error", "warning", "info"]
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=order.index)
    return {finding.key.removeprefix("finding."): finding for finding in found}


GOOD = [{"q": f"question {i}", "a": f"answer {i}"} for i in range(30)]


def test_good_rows_have_none() -> None:
    assert findings(GOOD) == {}


@pytest.mark.parametrize(
    ("name", "faulty", "fix"),
    [
        ("blank", {"q": "x", "a": "\u3000"}, "drop_blank"),
        ("wrong_type", {"q": "x", "a": 7}, "to_text"),
        ("duplicate", {"q": "question 3", "a": "answer 3 "}, "drop_duplicates"),
        ("secret", {"q": "x", "a": "use sk-proj-Abcdefgh1234567890xyz"}, "mask_secrets"),
        ("email", {"q": "x", "a": "write to mika@example.com"}, "mask_emails"),
        ("broken_text", {"q": "x", "a": "cafÃ©"}, "repair_text"),
        ("unreadable_text", {"q": "x", "a": "caf\ufffd"}, "drop_unreadable"),
    ],
)
def test_one_faulty_row(name: str, faulty: dict[str, Any], fix: str) -> None:
    found = findings([*GOOD, faulty])
    assert list(found) == [name]
    assert (found[name].count, found[name].examples, found[name].fix) == (1, (31,), fix)


def test_findings_by_length() -> None:
    measured = (
        Lengths(1, 10, 10, 10, truncated=False),
        Lengths(2, 60, 10, 4, truncated=True),
        Lengths(3, 80, 10, 0, truncated=True),
        Lengths(4, 0, 0, 0, truncated=False, refused="no system turn"),
    )
    found = findings(GOOD, measured=measured)
    shown = {name: (f.examples, f.severity, f.fix) for name, f in found.items()}
    assert shown == {
        "lost": ((3,), "error", "drop_lost"),
        "refused": ((4,), "error", "drop_refused"),
        "too_long": ((2,), "warning", "drop_too_long"),
    }
    assert "no system turn" in found["refused"].message()


def test_conversations() -> None:
    user, answer = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
    rows = [[user, answer]] * 1 + [
        [user, answer, user],
        [user],
        [answer],
        [user, {"role": "narrator", "content": "z"}],
        [3],
    ]
    found = findings([{"t": turns} for turns in rows], Mapping(turns="t"))
    assert {name: f.examples for name, f in found.items()} == {
        "unusable": (3, 4, 6),
        "ends_without_answer": (2,),
        "unknown_role": (5,),
        "few_rows": (1,),
    }
    assert "narrator" in found["unknown_role"].message()


def test_few_rows_and_odd_values() -> None:
    assert findings(GOOD[:1])["few_rows"].fix is None
    found = findings([{**row, "stars": str(i)} for i, row in enumerate(GOOD)] + [{"q": "x", "a": "y", "stars": "many"}])
    assert found["odd_values"].examples == (31,)
    assert "`stars`" in found["odd_values"].message()


@pytest.mark.parametrize(
    ("garbled", "meant"),
    [
        ("cafÃ©", "café"),
        ("Itâ€™s fine", "It’s fine"),
        ("ÃÂ©", "é"),
        ("繝輔ぃ繧､繝ｫ", "ファイル"),
        ("縺薙ｓ縺ｫ縺｡縺ｯ", "こんにちは"),
        ("a\x00b\x1b[31mc", "abc"),
    ],
)
def test_garbled_text_is_mended_once(garbled: str, meant: str) -> None:
    assert is_mendable(garbled)
    assert mend(garbled) == meant
    assert mend(meant) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "naïve café – “ok”…",
        "こんにちは。ﾊﾛｰ",
        "蓝色的天空",
        "Ünï Straße №5 €3",
        "Привет",
        "α → β",
        "😀👩‍👩‍👧",
        "x\ty\r\nz",
    ],
)
def test_sound_text_is_left_alone(text: str) -> None:
    assert mend(text) == text
    assert not is_unreadable(text)


def test_lost_characters() -> None:
    assert is_unreadable("x\ufffdy")
    assert is_unreadable("ã“ã‚“ã«ã¡ã¯")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key AKIAIOSFODNN7EXAMPLE.", "key [secret]."),
        ("ghp_" + "a1" * 18, "[secret]"),
        ("hf_" + "Ab" * 17, "[secret]"),
        ("password: hunter2hunter", "password: [secret]"),
        ("パスワードはabc12345です。", "パスワードは[secret]です。"),
        ("api_key=sk_live_abcdefgh12345678", "api_key=[secret]"),
        ("https://me:pw12345@host/x", "https://[secret]@host/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", "[secret]"),
        ("xoxb-12345678-abcdefgh", "[secret]"),
    ],
)
def test_secrets(text: str, masked: str) -> None:
    assert has_secret(text)
    assert mask_secrets(text) == masked
    assert not has_secret(masked)


@pytest.mark.parametrize(
    "text",
    [
        "The secret is love", "Forgot my password.", "password = correct", "sk-learn is a library",
        "ask-me-anything-you-like",
        "トークンの数は256です", "key: value", "see https://host/x", "The password is long enough",
        "task_test_case_number_12",
    ],
)  # fmt: skip
def test_no_secrets(text: str) -> None:
    assert not has_secret(text)
    assert mask_secrets(text) == text


def test_emails() -> None:
    assert mask_emails("a.b+c@example.co.jp、メール") == "[email]、メール"
    assert not has_email("@home and x@y")


def test_long_text_is_checked_in_time(tmp_path: Path) -> None:
    """No pattern runs away: megabytes of what it almost matches."""
    import time

    began = time.process_time()
    for piece in ("a@", "a.", "sk-", "eyJa.", "password ", "繧", "Ã", "://a:"):
        text = piece * (1_000_000 // len(piece))
        has_secret(text)
        has_email(text)
        is_mendable(text[:200_000])
    assert time.process_time() - began < 30
