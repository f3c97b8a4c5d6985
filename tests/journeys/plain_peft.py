"""What somebody without the studio does with an export: plain Transformers and PEFT, in a process of its own.

Reads a line of JSON, {"archive": ZIP, "base": MODEL_FOLDER, "turns": [...], "max_new_tokens": N}, from standard input,
prints {"base": ..., "tuned": ..., "files": [...], "studio": false}, and waits for the next: what takes long is to
import the libraries.
"""

import json
import sys
import tempfile
import zipfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def asked_of(archive: str, base: str, turns: list[dict[str, str]], max_new_tokens: int) -> dict[str, object]:
    """What the base model and the tuned one answer, each read afresh."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        loaded = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model = PeftModel.from_pretrained(loaded, folder).eval()
        inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        inputs.pop("token_type_ids", None)

        def answer() -> str:
            with torch.no_grad():
                ids = model.generate(
                    **inputs,
                    do_sample=False,
                    max_new_tokens=max_new_tokens,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

        tuned = answer()
        with model.disable_adapter():
            untouched = answer()
        return {
            "base": untouched,
            "tuned": tuned,
            "files": sorted(packed.namelist()),
            "studio": any(name.split(".")[0] == "studio" for name in sys.modules),
        }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asked_of(**json.loads(line))), flush=True)
