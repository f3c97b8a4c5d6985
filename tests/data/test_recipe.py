"""Recipes: saved and read back, and a wrong file is told whole."""

import pytest

from studio.data.recipe import FIXES, HAND_FIXES, CleanSpec, make_step
from studio.errors import InputError, SpecError
from studio.messages import LANGUAGES, translate

EVERY = CleanSpec(
    steps=(
        *(make_step(fix) for fix in FIXES),
        make_step("drop_near_duplicates", threshold=0.9),
        make_step("drop_too_long", model="other", max_length=64),
        make_step("replace", find="Acme", replace_with="Acme Inc.", match_case=True, columns=["a"]),
        make_step("replace", find=r"(\d+) yen", replace_with=r"¥\1", regex=True),
        make_step("filter", action="drop", where={"by": "text", "find": "^x+$", "regex": True}),
        make_step("filter", action="keep", where={"by": "length", "part": "answer", "least": 3, "most": 90}),
        make_step("filter", action="keep", where={"by": "language", "languages": ["ja", "en"]}),
        make_step("filter", action="drop", where={"by": "finding", "finding": "finding.email"}),
        make_step("edit_rows", data="f00", rows={3: {"a": "日本", "n": [1, None]}}),
        make_step("add_rows", data="f00", rows=[{"a": "x"}]),
        make_step("exclude_rows", data="f00", rows=[1, 2]),
        make_step("restore_rows", data="f00", rows=[4]),
    )
)


def test_yaml_and_back() -> None:
    text = EVERY.to_yaml()
    assert CleanSpec.from_yaml(text, "r.yaml") == EVERY
    assert text.startswith("steps:\n- fix: to_text\n- fix: trim_turns\n")
    assert "日本" in text
    assert CleanSpec.model_validate_json(EVERY.model_dump_json()) == EVERY


def test_a_step_may_be_just_its_name() -> None:
    recipe = CleanSpec.from_yaml("steps: [drop_blank, {fix: drop_lost}]", "r.yaml")
    assert recipe.steps == (make_step("drop_blank"), make_step("drop_lost"))


def test_what_was_done_by_hand_is_left_out_for_other_data() -> None:
    assert {step.fix for step in EVERY.by_hand} == set(HAND_FIXES)
    assert EVERY.reusable().by_hand == ()
    assert len(EVERY.reusable().steps) == len(EVERY.steps) - 4


WRONG = """
steps:
- drop_blnk
- {fix: replace, find: '(', regex: true}
- {fix: replace, find: a, regex: true, replace_with: '\\2'}
- {fix: filter, where: {by: text, find: x+, regx: true}}
- {fix: filter, action: drop, where: {by: tet}}
- {fix: drop_near_duplicates, threshold: 3}
- 7
- {fix: exclude_rows, rows: [1]}
- {fix: filter, action: drop, where: {by: length, least: 4, most: 3}}
- {fix: replace, find: ''}
- drop_blank
other: 1
"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_problem_of_a_wrong_file_is_told_with_its_path(language: str) -> None:
    with pytest.raises(SpecError) as caught:
        CleanSpec.from_yaml(WRONG, "r.yaml")
    lines = caught.value.message(language).splitlines()[1:]
    paths = [
        "steps.0", "steps.1", "steps.2", "steps.3.action", "steps.3.where.regx", "steps.4.where", "steps.5.threshold",
        "steps.6", "steps.7.data", "steps.8.where", "steps.9.find", "other",
    ]  # fmt: skip
    assert len(lines) == len(paths)
    for path, line in zip(paths, lines, strict=True):
        assert path in line, line
    assert "drop_blnk" in lines[0]
    assert "drop_blank" in lines[0]


@pytest.mark.parametrize("text", ["", "- drop_blank", "steps: [", "steps: drop_blank", "steps:\n- {fix: 2026-99-99}"])
def test_a_file_that_is_no_recipe(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        CleanSpec.from_yaml(text, "r.yaml")
    assert caught.value.message("en") != caught.value.message("ja")


def test_unknown_fixes_and_values() -> None:
    with pytest.raises(InputError) as caught:
        make_step("polish")
    assert "drop_blank" in caught.value.message("ja")
    with pytest.raises(SpecError):
        make_step("drop_blank", rows=[1])
    with pytest.raises(SpecError):
        make_step("exclude_rows", rows=[1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fix_has_a_label(language: str) -> None:
    labels = {translate(f"fix.{fix}", language) for fix in (*FIXES, *HAND_FIXES, "replace", "filter")}
    assert len(labels) == len(FIXES) + 6
    assert max(map(len, labels)) <= 40


def test_fixes_are_put_where_they_work_best_and_can_be_moved() -> None:
    recipe = CleanSpec(steps=())
    replace = make_step("replace", find="a")
    for step in (make_step("drop_duplicates"), replace, make_step("repair_text"), make_step("drop_blank")):
        recipe = recipe.with_step(step)
    assert [s.fix for s in recipe.steps] == ["repair_text", "drop_blank", "drop_duplicates", "replace"]
    assert recipe.with_step(replace) == recipe
    assert [s.fix for s in recipe.moved(3, -1).steps] == ["repair_text", "drop_blank", "replace", "drop_duplicates"]
    assert recipe.moved(0, -1) == recipe.moved(3, 5) == recipe
    assert [s.fix for s in recipe.without(1).steps] == ["repair_text", "drop_duplicates", "replace"]


def test_a_list_that_is_endless_written_out_is_told_at_once() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
    with pytest.raises(SpecError) as caught:
        CleanSpec.from_yaml(bomb + "steps: [*a9, {fix: replace, find: *a9}]", "r.yaml")
    assert len(caught.value.message()) < 5_000
