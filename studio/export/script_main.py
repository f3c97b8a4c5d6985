"""How a reproduction script is called, and what it does from its first line to its last."""

from studio.export.facts import RunFacts
from studio.export.script_text import filled
from studio.runs.methods import CptSpec, RolloutSpec, SftSpec
from studio.runs.spec import LoraSpec

_ARGUMENTS = '''\
def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=BASE, help="the base model: a name on the Hub, or a folder")
    parser.add_argument("--tokenizer", default=str(HERE), help="its folder; beside this file by default")
    parser.add_argument("--rows", default=HERE, type=Path, help="the folder of train.jsonl; this one by default")
    parser.add_argument("--out", default=Path("again"), type=Path, help="the folder to write to")
@PARENT@    return parser.parse_args()


def read_rows(file):
    """One row a line. Without the file there is nothing to train on."""
    if not file.is_file():
        raise SystemExit(f"{file} is not there. Put the rows that the run learned from into it, as told on top.")
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
'''

_PARENT_ARGUMENT = (
    '    parser.add_argument("--parent", required=True, type=Path, help="the folder of the adapter it went on from")\n'
)

_MAIN = """\
def main():
    given = arguments()
    tokenizer = AutoTokenizer.from_pretrained(given.tokenizer)
    rows = make_rows(tokenizer, read_rows(given.rows / "train.jsonl"), training=True)
@VALIDATED@    model = @MODEL@
@BEFORE@    trainer = make_trainer(model, tokenizer, Dataset.from_list(rows), @VALIDATION@, given.out)
@AFTER@    trainer.add_callback(StopWhereItWasKept())
    trainer.train()
    losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
@COMPARED@@JUDGED@    trainer.model.save_pretrained(given.out@ONLY@)
    tokenizer.save_pretrained(given.out)
    (given.out / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


if __name__ == "__main__":
    main()
"""

_VALIDATED = """\
    validation = make_rows(tokenizer, read_rows(given.rows / "validation.jsonl"), training=False)
"""

_COMPARED = """\
    for step, recorded in RECORDED.items():
        print(f"step {step}: loss {losses[step]:.6f}, in the run {recorded:.6f}")
"""

_JUDGED = """\
    found = validation_loss(trainer, @ROWS@)
    print(f"validation loss {found:.6f}, in the run {VALIDATION_LOSS:.6f}")
"""

# TRL makes what is trained over a model in 4 bits bfloat16, which loses small steps.
_FLOAT_BEFORE = "    trained = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]\n"
_FLOAT_AFTER = """\
    for weight, data in trained:
        weight.data = data  # TRL makes them bfloat16 over a model in 4 bits; the run kept float32
"""


def arguments_piece(run: RunFacts) -> str:
    """`arguments`, and `read_rows` of the folder that they name."""
    return filled(_ARGUMENTS, PARENT=_PARENT_ARGUMENT if run.training.parent else "")


def main_piece(run: RunFacts, validates: bool) -> str:
    """`main`; `validates`: there is a validation loss to compare."""
    spec = run.spec
    lora, four = isinstance(spec.tuner, LoraSpec), spec.tuner.quantisation == "nf4"
    parent = ", given.parent" if run.training.parent else ""
    likelihood = isinstance(spec.method, SftSpec | CptSpec)
    model = "load_model(given.base)"
    return filled(
        _MAIN,
        VALIDATED=_VALIDATED if validates else "",
        MODEL=f"with_adapter({model}{parent})" if lora else f"{model}.requires_grad_(True)",
        BEFORE=_FLOAT_BEFORE if four else "",
        VALIDATION="Dataset.from_list(validation)" if validates and not likelihood else "None",
        AFTER=_FLOAT_AFTER if four else "",
        COMPARED="" if isinstance(spec.method, RolloutSpec) else _COMPARED,
        JUDGED=filled(_JUDGED, ROWS="validation" if likelihood else "None") if validates else "",
        ONLY=', selected_adapters=["default"]' if lora else "",
    )
