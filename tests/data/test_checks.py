"""Each finding counts the right rows, says so in both languages, and its fix makes it go away."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.broken import is_mendable, is_unreadable, mend
from studio.data.checks import CheckOptions, Finding
from studio.data.formats import Mapping
from studio.data.recipe import FIXES
from studio.data.scan import scan
from studio.data.sensitive import has_email, has_secret, mask_emails, mask_secrets
from studio.data.tables import Row, Table, write_table
from studio.data.tokens import Lengths

PAIR = Mapping(prompt="q", answer="a")


def findings(
    folder: Path,
    values: list[dict[str, Any]],
    mapping: Mapping = PAIR,
    measured: tuple[Lengths, ...] = (),
    options: CheckOptions | None = None,
) -> dict[str, Finding]:
    """By name; what is only told of small tables is left out unless `options` are given."""
    built = [Row(i, item) for i, item in enumerate(values, 1)]
    write_table(built, folder / "table.parquet")
    chosen = options or CheckOptions(max_length=64, off=frozenset({"few_for_method"}))
    found = scan(Table(folder / "table.parquet"), mapping, chosen, measured=measured).findings
    for finding in found:
        assert finding.message("en") != finding.message("ja")
        assert finding.share == finding.count / len(values)
        assert len(finding.examples) <= finding.count
    order = ["error", "warning", "info"]
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=order.index)
    return {finding.key.removeprefix("finding."): finding for finding in found}


GOOD = [{"q": f"question {i}", "a": f"answer {i}"} for i in range(30)]


def test_good_rows_have_none(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD) == {}


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
        ("near_blank", {"q": "x", "a": "…"}, "drop_boilerplate"),
        ("near_blank", {"q": "x", "a": "特になし。"}, "drop_boilerplate"),
        ("near_blank", {"q": "？", "a": "y"}, "drop_boilerplate"),
        ("boilerplate", {"q": "x", "a": "As an AI language model, I have no name."}, "drop_boilerplate"),
        ("boilerplate", {"q": "x\n<noinput>", "a": "y"}, "drop_boilerplate"),
        ("control", {"q": "x", "a": "y\u200bz"}, "strip_control"),
        ("html", {"q": "x", "a": "<p>y</p>"}, "strip_html"),
        ("special_tokens", {"q": "x<|im_end|>", "a": "y"}, "escape_special_tokens"),
        ("phone", {"q": "x", "a": "電話は03-3456-7890です"}, "mask_phones"),
        ("card", {"q": "x", "a": "4111 1111 1111 1111"}, "mask_cards"),
        ("personal_id", {"q": "x", "a": "マイナンバーは123456789018です"}, "mask_ids"),
        ("address", {"q": "x", "a": "東京都渋谷区神南1-2-3"}, "mask_addresses"),
        ("length_outlier", {"q": "x", "a": "y" * 5_000}, "drop_length_outliers"),
    ],
)
def test_one_faulty_row(name: str, faulty: dict[str, Any], fix: str, tmp_path: Path) -> None:
    found = findings(tmp_path, [*GOOD, faulty])
    assert list(found) == [name]
    assert (found[name].count, found[name].examples) == (1, (31,))
    assert found[name].fix == (fix if fix in FIXES else None)


def test_findings_by_length(tmp_path: Path) -> None:
    measured = (
        Lengths(1, 10, 10, 10, truncated=False),
        Lengths(2, 60, 10, 4, truncated=True),
        Lengths(3, 80, 10, 0, truncated=True),
        Lengths(4, 0, 0, 0, truncated=False, refused="no system turn"),
    )
    found = findings(tmp_path, GOOD, measured=measured)
    shown = {name: (f.examples, f.severity, f.fix) for name, f in found.items()}
    assert shown == {
        "lost": ((3,), "error", "drop_lost"),
        "refused": ((4,), "error", "drop_refused"),
        "too_long": ((2,), "warning", "drop_too_long"),
    }
    assert "no system turn" in found["refused"].message()


def test_conversations(tmp_path: Path) -> None:
    user, answer = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
    rows = [[user, answer]] * 1 + [
        [user, answer, user],
        [user],
        [answer],
        [user, {"role": "narrator", "content": "z"}],
        [3],
    ]
    found = findings(tmp_path, [{"t": turns} for turns in rows], Mapping(turns="t"))
    assert {name: f.examples for name, f in found.items()} == {
        "unusable": (3, 4, 6),
        "ends_without_answer": (2,),
        "unknown_role": (5,),
        "few_rows": (1,),
    }
    assert "narrator" in found["unknown_role"].message()


def test_few_rows_and_odd_values(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD[:1])["few_rows"].fix is None
    found = findings(
        tmp_path, [{**row, "stars": str(i)} for i, row in enumerate(GOOD)] + [{"q": "x", "a": "y", "stars": "many"}]
    )
    assert found["odd_values"].examples == (31,)
    assert "`stars`" in found["odd_values"].message()
    assert "通常は数値" in found["odd_values"].message("ja")


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


def test_mending_leaves_control_characters_to_their_own_fix() -> None:
    assert mend("a\x00b") == "a\x00b"
    assert mend("a\x00b caf\u00c3\u00a9") == "ab café"


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


# Findings that take all rows


def test_conflicts_and_their_absence(tmp_path: Path) -> None:
    rows = [*GOOD, {"q": "Question  3", "a": "other"}]
    assert findings(tmp_path, rows)["conflict"].examples == (4, 31)
    assert "conflict" not in findings(tmp_path, [*GOOD, {"q": "question 3", "a": "answer 3"}])


def test_thumbs(tmp_path: Path) -> None:
    mapping = Mapping(prompt="q", answer="a", label="good")
    rows = [{**row, "good": True} for row in GOOD]
    assert set(findings(tmp_path, rows, mapping)) == set()
    found = findings(tmp_path, [*rows, {**rows[4], "good": False}], mapping)
    assert found["conflict"].examples == (5, 31)
    assert "duplicate" not in found  # the fix would keep one of two ratings that contradict each other
    assert findings(tmp_path, [*rows, rows[4]], mapping)["duplicate"].examples == (31,)
    assert found["label_imbalance"].count == 30
    assert found["label_imbalance"].values["usual"] == "96.8%"


def test_preferences(tmp_path: Path) -> None:
    mapping = Mapping(prompt="q", chosen="a", rejected="b")
    rows = [{"q": f"question {i}", "a": f"answer {i}, {'long' * (i % 4)}", "b": f"answer {i}, no"} for i in range(60)]
    assert findings(tmp_path, rows, mapping) == {}
    same = [*rows, {"q": "x", "a": "Yes. ", "b": "yes."}]
    assert findings(tmp_path, same, mapping)["equal_pair"].examples == (61,)
    longer = [{**row, "a": row["a"] + " and so on and on"} for row in rows]
    found = findings(tmp_path, longer, mapping)["length_preference"]
    assert (found.count, found.fix) == (60, None)
    swapped = [{"q": row["q"], "a": row["b"], "b": row["a"]} for row in longer]
    assert findings(tmp_path, swapped, mapping)["length_preference"].count == 60


def test_labels_of_a_classification(tmp_path: Path) -> None:
    rows = [{"q": f"question {i}", "a": "spam" if i % 20 == 0 else "ham"} for i in range(100)]
    found = findings(tmp_path, rows)
    assert (found["label_imbalance"].count, found["label_imbalance"].values["labels"]) == (95, 2)
    even = [{**row, "a": ("spam", "ham")[i % 2]} for i, row in enumerate(rows)]
    assert findings(tmp_path, even) == {}


def test_few_answers(tmp_path: Path) -> None:
    answers = [
        f"This is the long answer number {i}, which is given to all who ask for this and that." for i in range(5)
    ]
    found = findings(tmp_path, [{"q": f"question {i}", "a": answers[i % 5]} for i in range(100)])
    assert found["few_answers"].values["answers"] == 5


def test_json_answers(tmp_path: Path) -> None:
    rows = [{"q": f"question {i}", "a": f'{{"n": {i}}}'} for i in range(30)]
    assert findings(tmp_path, rows) == {}
    found = findings(tmp_path, [*rows, {"q": "x", "a": '{"n": 1'}, {"q": "y", "a": "one"}])
    assert found["bad_json"].examples == (31, 32)
    assert "bad_json" not in findings(tmp_path, [*GOOD, *rows[:20]])


def test_language_switches_only_where_they_are_rare(tmp_path: Path) -> None:
    english, japanese = "What is the name of the small town by the sea", "海のそばにある小さな町の名前は何ですか"
    rows = [{"q": f"{english} {i}?", "a": f"It is the town of {i} and of the sea."} for i in range(40)]
    found = findings(tmp_path, [*rows, {"q": f"{english}?", "a": "それは海の町です。"}])
    assert found["language_switch"].examples == (41,)
    translation = [{**row, "a": f"{japanese} {i}？"} for i, row in enumerate(rows)]
    assert findings(tmp_path, translation) == {}


def test_cut_off_only_where_others_end(tmp_path: Path) -> None:
    rows = [{"q": f"question {i}", "a": f"This is answer {i}. It ends as it should."} for i in range(30)]
    cut = {"q": "x", "a": "This is an answer. It ends before it"}
    assert findings(tmp_path, [*rows, cut])["cut_off"].examples == (31,)
    signed = [{**row, "a": row["a"] + " Warm wishes, the shop"} for row in rows]
    assert findings(tmp_path, [*signed, cut]) == {}


def test_leaks_by_a_split_column(tmp_path: Path) -> None:
    rows = [{**row, "split": "train" if i < 25 else "Validation"} for i, row in enumerate(GOOD)]
    assert findings(tmp_path, rows) == {}
    found = findings(tmp_path, [*rows, {**rows[3], "split": "test"}])
    assert found["leak"].examples == (31,)


def test_roles(tmp_path: Path) -> None:
    user, answer = {"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}
    system = {"role": "system", "content": "be brief"}
    good = [[user, answer], [system, user, answer], [user, answer, user, answer]] * 8
    bad = [[user, user, answer], [user, system, answer], [answer, user, answer], [user, answer, answer]]
    found = findings(tmp_path, [{"t": turns} for turns in [*good, *bad]], Mapping(turns="t"))
    assert found["bad_roles"].examples == (25, 26, 27, 28)


def tool_rows(arguments: list[Any]) -> list[dict[str, Any]]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    return [
        {
            "t": [
                {"role": "user", "content": f"question {i}"},
                {"role": "assistant", "content": "", "tool_calls": [{"function": call}]},
            ],
            "tools": tools,
        }
        for i, call in enumerate(arguments)
    ]


def test_tool_calls(tmp_path: Path) -> None:
    mapping = Mapping(turns="t", tools="tools")
    good = [{"name": "weather", "arguments": {"city": f"town {i}"}} for i in range(30)]
    assert findings(tmp_path, tool_rows(good), mapping) == {}
    bad = [{"name": "clock", "arguments": {}}, {"name": "weather", "arguments": {"city": 3}},
           {"name": "weather", "arguments": {}}]  # fmt: skip
    found = findings(tmp_path, tool_rows([*good, *bad, {"name": "weather", "arguments": "{"}]), mapping)
    assert found["bad_tool_calls"].examples == (31, 32, 33)
    assert found["broken_tool_calls"].examples == (34,)


def test_rows_a_method_wants(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD, options=CheckOptions())["few_for_method"].values["wanted"] == 200
    assert findings(tmp_path, GOOD, options=CheckOptions(tuner="full"))["few_for_method"].values["wanted"] == 2_000
    many = [{"q": f"question {i}", "a": f"answer {i}"} for i in range(200)]
    assert findings(tmp_path, many, options=CheckOptions()) == {}


def test_passages_of_a_text_are_not_answers_cut_off(tmp_path: Path) -> None:
    rows = [{"q": "Say something?", "a": f"The tall ship sailed on and the crew sang {i} songs."} for i in range(40)]
    rows.append({"q": "Say something?", "a": "The tall ship sailed on and the"})
    assert findings(tmp_path, rows)["cut_off"].count == 1
    assert "cut_off" not in findings(tmp_path, rows, Mapping(text="a"))
