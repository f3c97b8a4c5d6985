"""What the starter knows: the exam of held-out phrasings, scored by language and topic.

`python -m studio.starter.exam FOLDER` prints the scores; `--readme` writes them into the folder's README.md.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from studio.starter.world import Question, exam

ANSWER_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Score:
    """`right` and `stopped` (by the end token, within 40 tokens) out of `asked`."""

    asked: int
    right: int
    stopped: int

    @property
    def share(self) -> float:
        return self.right / self.asked


@torch.inference_mode()
def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], rows: int = 64
) -> list[tuple[str, bool]]:
    """Greedy answers, each with whether the model stopped by itself."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    order = sorted(range(len(questions)), key=lambda i: len(questions[i].text))
    found: list[tuple[str, bool]] = [("", False)] * len(questions)
    for start in range(0, len(order), rows):
        part = order[start : start + rows]
        prompts = [f"<|user|>{questions[i].text}<|end|><|assistant|>" for i in part]
        inputs = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt", add_special_tokens=False)
        made = model.generate(  # pyright: ignore[reportCallIssue]  # torch's __getattr__ hides it
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=pad,
        )
        for i, tokens in zip(part, made[:, inputs["input_ids"].shape[1] :], strict=True):
            found[i] = (str(tokenizer.decode(tokens, skip_special_tokens=True)), end in tokens.tolist())
    return found


def score(questions: Sequence[Question], given: Sequence[tuple[str, bool]]) -> dict[tuple[str, str], Score]:
    """Scores by (language, topic); topic "all" sums a language."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for question, (text, stopped) in zip(questions, given, strict=True):
        for topic in (question.topic, "all"):
            count = counts[question.language, topic]
            count[0] += 1
            count[1] += question.right(text)
            count[2] += stopped
    return {key: Score(*count) for key, count in sorted(counts.items())}


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in float32, as the studio computes on a CPU."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


_START, _STOP = "<!-- scores -->", "<!-- /scores -->"


def table(scores: dict[tuple[str, str], Score]) -> str:
    """The scores as a Markdown table."""
    lines = ["| language | topic | questions | right | stopped by itself |", "|---|---|---|---|---|"]
    for (language, topic), item in scores.items():
        lines.append(f"| {language} | {topic} | {item.asked} | {item.share:.1%} | {item.stopped / item.asked:.1%} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m studio.starter.exam", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("assets/starter"))
    parser.add_argument("--sample", type=int, default=0, help="ask only this many questions, chosen by seed 0")
    parser.add_argument("--readme", action="store_true", help="write the scores into README.md of the folder")
    parser.add_argument("--wrong", type=int, default=0, help="show this many wrong answers")
    options = parser.parse_args(arguments)
    questions = exam()
    if options.sample:
        questions = tuple(random.Random(0).sample(questions, options.sample))
    model, tokenizer = load(options.folder)
    given = answers(model, tokenizer, questions)
    scores = score(questions, given)
    print(table(scores))
    wrong = [(q, a) for q, (a, _) in zip(questions, given, strict=True) if not q.right(a)]
    for question, answer in wrong[: options.wrong]:
        print(json.dumps([question.text, answer, question.answer], ensure_ascii=False))
    if options.readme:
        readme = options.folder / "README.md"
        text = readme.read_text(encoding="utf-8")
        before, after = text[: text.index(_START)], text[text.index(_STOP) :]
        readme.write_text(f"{before}{_START}\n{table(scores)}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
