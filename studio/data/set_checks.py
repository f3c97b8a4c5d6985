"""Findings that take all rows: each one function of the numbers kept of every row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from studio.data.cells import KINDS
from studio.data.checks import FEW_ROWS, PROBLEMS, ROW_CHECKS, CheckOptions, Found
from studio.data.duplicates import groups_that_differ, later_copies
from studio.data.formats import Mapping as ColumnMapping
from studio.data.tokens import Lengths

# Rows a method wants: some hundreds for an adapter, thousands where all weights move. LIMA (Zhou et al. 2023) tuned all
# weights with 1 000 rows chosen by hand, Alpaca (Taori et al. 2023) with 52 000.
WANTED_ROWS: Mapping[str, int] = {"full": 2_000}
WANTED_ROWS_OTHERWISE = 200
# A share up to which a thing is the exception, and not the custom of the data.
RARE = 0.05
CUT_RARE = 0.2


@dataclass(frozen=True, slots=True)
class Whole:
    """The numbers of all rows, one value per row. `usable`: the row is a training record; where it is not, lengths
    and hashes are 0.

    `other_chars`: of the rejected answer. `ending`: as `markup_text.ending` says. `json`: 0 no JSON, 1 JSON, 2 begins
    like it and is broken. `label`: 1 thumbs up, 0 down, -1 none. `split`: 0 unknown, 1 train, 2 validation or test.
    `kinds`: what the cells of the other columns are, as places in KINDS. `cluster`: smallest id of the near duplicates.
    """

    options: CheckOptions
    mapping: ColumnMapping
    measured: Sequence[Lengths]
    ids: np.ndarray
    usable: np.ndarray
    prompt_chars: np.ndarray
    answer_chars: np.ndarray
    other_chars: np.ndarray
    record_hash: np.ndarray
    prompt_hash: np.ndarray
    answer_hash: np.ndarray
    prompt_language: np.ndarray
    answer_language: np.ndarray
    ending: np.ndarray
    json: np.ndarray
    label: np.ndarray
    split: np.ndarray
    cluster: np.ndarray
    kinds: Mapping[str, np.ndarray]

    @property
    def answered(self) -> np.ndarray:
        """Rows that ask something and answer it."""
        return self.usable & (self.prompt_chars > 0) & (self.answer_chars > 0)


def lost(whole: Whole) -> Iterator[Found]:
    """Rows of whose answer nothing is left after cutting."""
    rows = [m.row_id for m in whole.measured if m.lost]
    yield Found("lost", rows, "error", "drop_lost", {"max_length": whole.options.max_length})


def refused(whole: Whole) -> Iterator[Found]:
    """Rows that the model's template does not take."""
    rows = [m for m in whole.measured if m.refused is not None]
    reason = rows[0].refused if rows else ""
    yield Found("refused", [m.row_id for m in rows], "error", "drop_refused", {"reason": reason})


def too_long(whole: Whole) -> Iterator[Found]:
    """Rows whose answer is cut off at the end."""
    rows = [m.row_id for m in whole.measured if m.truncated and not m.lost]
    yield Found("too_long", rows, "warning", "drop_too_long", {"max_length": whole.options.max_length})


def duplicate(whole: Whole) -> Iterator[Found]:
    """Exact copies of earlier rows; of an answer with thumbs, those that are rated the same way."""
    said = whole.record_hash ^ (whole.label == 1).astype(np.uint64)
    copies = later_copies(said[whole.usable])
    yield Found("duplicate", whole.ids[whole.usable][copies], "warning", "drop_duplicates")


def near_duplicate(whole: Whole) -> Iterator[Found]:
    """Rows that nearly repeat an earlier one; exact copies are told elsewhere."""
    near = (whole.cluster != whole.ids) & whole.usable
    near[np.flatnonzero(whole.usable)[later_copies(whole.record_hash[whole.usable])]] = False
    yield Found("near_duplicate", whole.ids[near], "warning", "drop_near_duplicates")


def conflict(whole: Whole) -> Iterator[Found]:
    """Rows that ask the same as another and answer otherwise; of thumbs, the same answer rated both ways."""
    if whole.mapping.dataset_type in ("preference", "prompt_only", "language_modeling"):
        return
    answered = np.flatnonzero(whole.answered)
    if whole.mapping.dataset_type == "unpaired_preference":
        asked, said = whole.record_hash[answered], whole.label[answered]
    else:
        asked, said = whole.prompt_hash[answered], whole.answer_hash[answered]
    several = groups_that_differ(asked, said)
    yield Found("conflict", whole.ids[answered[several]], "warning", "drop_conflicts")


def leak(whole: Whole) -> Iterator[Found]:
    """Rows of validation and test, as a column `split` names them, that stand in the training rows too."""
    train, other = whole.usable & (whole.split == 1), whole.usable & (whole.split == 2)
    known = np.isin(whole.record_hash, whole.record_hash[train]) | np.isin(whole.cluster, whole.cluster[train])
    yield Found("leak", whole.ids[other & known], "warning", "drop_leaks")


def unbalanced_length(whole: Whole) -> Iterator[Found]:
    """Questions far longer than their answers: twenty times and more, and far from what is usual in this data (robust
    z-score of the logarithm above 5; Iglewicz and Hoaglin 1993 advise 3.5 for what is nearly normal).
    """
    if not (rows := np.flatnonzero(whole.answered)).size:
        return
    ratio = np.log(whole.prompt_chars[rows] / whole.answer_chars[rows])
    far = (robust_z(ratio, ratio) > 5) & (ratio > np.log(20)) & (whole.prompt_chars[rows] > 200)
    yield Found("unbalanced_length", whole.ids[rows[far]], "warning", "drop_unbalanced_length")


def length_outlier(whole: Whole) -> Iterator[Found]:
    """Rows far longer or shorter than the others of their language (Japanese says as much with fewer characters):
    robust z-score of the logarithm of their characters above 6.
    """
    language = np.where(whole.answer_language > 0, whole.answer_language, whole.prompt_language)
    chars = np.log(np.maximum(whole.prompt_chars + whole.answer_chars, 1))
    far = np.zeros(len(chars), bool)
    for one in np.unique(language):
        rows = np.flatnonzero(whole.usable & (language == one))
        others = rows if len(rows) >= FEW_ROWS else np.flatnonzero(whole.usable)
        if len(others) >= FEW_ROWS:
            far[rows] = np.abs(robust_z(chars[others], chars[rows])) > 6
    yield Found("length_outlier", whole.ids[far], "info", "drop_length_outliers")


def robust_z(values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Distances of those asked from the median of the values in standard deviations, these from the median absolute
    deviation; never less than 0.4, so that data of one length has no outliers by a few letters.
    """
    middle = np.median(values)
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), 0.4)
    return (asked - middle) / spread


def cut_off(whole: Whole) -> Iterator[Found]:
    """Answers that stop in the middle of a sentence, where nearly all others end one. Passages are no answers:
    they end where they were cut."""
    if whole.mapping.dataset_type == "language_modeling":
        return
    prose = whole.usable & (whole.ending > 0)
    cut = whole.usable & (whole.ending == 2)
    if cut.sum() <= CUT_RARE * prose.sum():
        yield Found("cut_off", whole.ids[cut], "warning", "drop_cut_off")


def bad_json(whole: Whole) -> Iterator[Found]:
    """Answers that are no JSON, where most are."""
    answered = whole.answered
    parsed = answered & (whole.json == 1)
    if answered.sum() >= FEW_ROWS and parsed.sum() >= 0.8 * answered.sum():
        yield Found("bad_json", whole.ids[answered & (whole.json != 1)], "warning", "drop_bad_json")


def language_switch(whole: Whole) -> Iterator[Found]:
    """Answers in another language than the question, where that is rare (translation is not)."""
    known = whole.answered & (whole.prompt_language > 0) & (whole.answer_language > 0)
    switch = known & (whole.prompt_language != whole.answer_language)
    if switch.sum() <= RARE * known.sum():
        yield Found("language_switch", whole.ids[switch], "warning", "drop_language_switch")


def label_imbalance(whole: Whole) -> Iterator[Found]:
    """One of a few answers (or one of both thumbs) given in nine rows of ten, or more."""
    rows = np.flatnonzero(whole.usable & (whole.label >= 0))
    said = whole.label[rows].astype(np.uint64)
    if not rows.size:
        rows = np.flatnonzero(whole.answered)
        said = whole.answer_hash[rows]
        if not rows.size or whole.answer_chars[rows].max() > 60:
            return
    labels, place, counts = np.unique(said, return_inverse=True, return_counts=True)
    if len(rows) >= FEW_ROWS and 1 < len(labels) <= max(2, len(rows) // 10) and counts.max() >= 0.9 * len(rows):
        share = f"{counts.max() / len(rows):.1%}"
        ids = whole.ids[rows[place == counts.argmax()]]
        yield Found("label_imbalance", ids, "info", None, {"labels": len(labels), "usual": share})


def few_answers(whole: Whole) -> Iterator[Found]:
    """Long answers of which there are so few that they are learned by heart: less than one for ten rows."""
    rows = np.flatnonzero(whole.answered)
    if len(rows) < 2 * FEW_ROWS or whole.label.max() >= 0:
        return
    answers = len(np.unique(whole.answer_hash[rows]))
    if answers == 1 or (answers <= 0.1 * len(rows) and np.median(whole.answer_chars[rows]) > 60):
        yield Found("few_answers", whole.ids[rows], "info", None, {"answers": answers})


def length_preference(whole: Whole) -> Iterator[Found]:
    """Preferences that length alone foretells: the longer (or the shorter) answer is the better one in 85 % of pairs.

    A reward model then learns length (Singhal et al. 2023, "A Long Way to Go"). The rows are those that follow it.
    """
    pairs = np.flatnonzero(whole.usable & (whole.other_chars > 0) & (whole.other_chars != whole.answer_chars))
    longer = whole.answer_chars[pairs] > whole.other_chars[pairs]
    follows = longer if 2 * longer.sum() >= len(pairs) else ~longer
    if len(pairs) >= 2 * FEW_ROWS and follows.sum() >= 0.85 * len(pairs):
        share = f"{follows.sum() / len(pairs):.1%}"
        yield Found("length_preference", whole.ids[pairs[follows]], "warning", None, {"follows": share})


def odd_values(whole: Whole) -> Iterator[Found]:
    """Other columns in which nearly all cells are numbers (or lists, ...), but a few are something else."""
    for name, kinds in whole.kinds.items():
        counts = np.bincount(kinds, minlength=len(KINDS))
        present = int(counts[1:].sum())
        usual = int(counts[1:].argmax()) + 1
        if KINDS[usual] != "text" and present >= FEW_ROWS and counts[usual] >= 0.9 * present:
            odd = whole.ids[(kinds != usual) & (kinds != 0)]
            yield Found("odd_values", odd, "info", None, {"column": name, "type": KINDS[usual]})


def few_rows(whole: Whole) -> Iterator[Found]:
    """So few rows that nothing can be told from them."""
    good = whole.ids[whole.usable]
    if len(good) < FEW_ROWS:
        yield Found("few_rows", good, "info", None, {"wanted": FEW_ROWS})


def few_for_method(whole: Whole) -> Iterator[Found]:
    """Fewer rows than the method wants (`WANTED_ROWS`)."""
    good = whole.ids[whole.usable]
    wanted = WANTED_ROWS.get(whole.options.tuner, WANTED_ROWS_OTHERWISE)
    if FEW_ROWS <= len(good) < wanted:
        yield Found("few_for_method", good, "info", None, {"wanted": wanted})


SET_CHECKS: Mapping[str, Callable[[Whole], Iterator[Found]]] = {
    check.__name__: check
    for check in (
        lost, refused, too_long, duplicate, near_duplicate, conflict, leak, unbalanced_length, length_outlier, cut_off,
        bad_json, language_switch, label_imbalance, few_answers, length_preference, odd_values, few_rows,
        few_for_method,
    )
}  # fmt: skip

# The name of every finding there can be; its key is `finding.` and the name.
FINDINGS: frozenset[str] = frozenset({*PROBLEMS, *(check.name for check in ROW_CHECKS), *SET_CHECKS, "split_leak"})


def split_leak(train: np.ndarray, other: np.ndarray, features: pa.Table) -> Found:
    """Rows that the split keeps for validation and test though they equal or nearly equal a training row. Not of the
    rows alone: made of the features of a scan and the ids of both sides, whenever either is new.

    A split that keeps near duplicates together has none.
    """
    return Found("split_leak", leaks(train, other, features), "warning", "drop_near_duplicates")


def leaks(train_ids: np.ndarray, other_ids: np.ndarray, features: pa.Table) -> np.ndarray:
    """Those of `other_ids` whose row equals or nearly equals a training row, by the features of a scan."""
    ids, cluster = features["id"].to_numpy(), features["cluster"].to_numpy()
    train = np.isin(ids, train_ids)
    known = np.isin(cluster, cluster[train]) & ~train
    return np.asarray(other_ids)[np.isin(other_ids, ids[known])]
