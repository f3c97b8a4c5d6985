"""What somebody without the studio does with an export: plain Transformers and PEFT, in a process of its own.

Usage: plain_peft.py ZIP BASE_MODEL_FOLDER. Reads {"turns": [...], "max_new_tokens": N} as JSON from standard input and
prints {"base": ..., "tuned": ..., "files": [...], "studio": false}.
"""

import json
import sys
import tempfile
import zipfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(archive: str, base_folder: str) -> None:
    asked = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, folder).eval()
        inputs = tokenizer.apply_chat_template(
            asked["turns"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        inputs.pop("token_type_ids", None)

        def answer() -> str:
            with torch.no_grad():
                ids = model.generate(
                    **inputs,
                    do_sample=False,
                    max_new_tokens=asked["max_new_tokens"],
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

        tuned = answer()
        with model.disable_adapter():
            untouched = answer()
        print(json.dumps({
            "base": untouched,
            "tuned": tuned,
            "files": sorted(packed.namelist()),
            "studio": any(name.split(".")[0] == "studio" for name in sys.modules),
        }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
