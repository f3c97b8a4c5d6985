"""Answers of an exported adapter, or model, as anybody gets them: transformers and PEFT alone, in a process of its own.

Run as a script: reads a JSON request from standard input, writes `answers.json` and `scores.safetensors` into the
folder the request names. It imports nothing of the studio, so that what it shows holds without the studio.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    request: dict[str, Any] = json.load(sys.stdin)
    dtype = getattr(torch, request["dtype"])
    source = request["base"] or request["adapter"]
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True)
    model = model.to(request["device"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(request["adapter"])
    if request["base"]:
        from peft import PeftModel

        # Room for tokens that the base does not know; what they mean is in the adapter.
        rows = max(tokenizer.get_vocab().values()) + 1
        if rows > model.get_input_embeddings().weight.shape[0]:
            model.resize_token_embeddings(rows, mean_resizing=False)
        model = PeftModel.from_pretrained(model, request["adapter"]).eval()
    answers, scores = [], {}
    for i, messages in enumerate(request["prompts"]):
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(request["device"])
        with torch.no_grad():
            scores[str(i)] = model(**inputs).logits[0, -1].float().cpu().contiguous()
            output = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=request["max_new_tokens"],
                eos_token_id=request["stops"],
                pad_token_id=tokenizer.pad_token_id,
            )
        ids = output[0, inputs["input_ids"].shape[1] :].tolist()
        ids = ids[: next((place for place, token in enumerate(ids) if token in request["stops"]), len(ids))]
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        answers.append({"ids": ids, "text": text})
    found = {
        "program": _program(bool(request["base"])),
        "answers": answers,
        "perplexity": _perplexity(model, request["lessons"]),
        "rendered": [_rendered(tokenizer, **conversation) for conversation in request["conversations"]],
    }
    folder = Path(request["folder"])
    save_file(scores, folder / "scores.safetensors")
    (folder / "answers.json").write_text(json.dumps(found), encoding="utf-8")


def _program(adapter: bool) -> str:
    import peft
    import transformers

    return f"PEFT {peft.__version__}" if adapter else f"Transformers {transformers.__version__}"


def _perplexity(model: Any, lessons: list[dict[str, Any]]) -> float | None:
    import torch

    total, count = 0.0, 0
    for lesson in lessons:
        ids = torch.tensor([lesson["ids"]], device=model.device)
        with torch.no_grad():
            scores = model(input_ids=ids).logits[0].float()
        answer = ids[0, lesson["start"] :]
        scores = scores[lesson["start"] - 1 : -1]
        total += float(torch.nn.functional.cross_entropy(scores, answer, reduction="sum"))
        count += len(answer)
    return math.exp(total / count) if count else None


def _rendered(tokenizer: Any, messages: list[Any], tools: list[Any]) -> list[int]:
    options = {"tools": tools} if tools else {}
    return list(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, **options)["input_ids"]
    )


if __name__ == "__main__":
    main()
