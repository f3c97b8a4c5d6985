"""The pieces of a reproduction script, as text: Python that imports nothing of the studio.

Names in capitals are constants that `script.py` writes on top. A piece does what the studio's own code does, said in
the fewest words for one run; `tests/export/test_script.py` runs them against runs of the studio.
"""

ARGUMENTS = '''\
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

PARENT_ARGUMENT = (
    '    parser.add_argument("--parent", required=True, type=Path, help="the folder of the adapter it went on from")\n'
)

CHATS = '''\
def render(tokenizer, messages, tools):
    """A chat as text: what is asked, the answer to it, and where in what is asked earlier answers stand."""
    given = {"tools": tools} if tools else {}

    def write(turns, generation):
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation, **given)

    def without_tail(text):  # a chat has stopped before the line end that follows the end of a turn
        short = text.rstrip()
        return short if short.endswith(tuple(tokenizer.all_special_tokens)) else text

    *before, last = messages
    asked, whole = write(before, True), write(messages, False)
    answer = without_tail(whole[len(asked) :]) if whole.startswith(asked) else last["content"]
    earlier = []
    for place, turn in enumerate(before):
        if turn["role"] == "assistant":
            begin = write(before[:place], True) if place else ""
            end = without_tail(write(before[: place + 1], False))
            if asked.startswith(end) and end.startswith(begin):
                earlier.append((len(begin), len(end)))
    return asked, answer, earlier


def encode(tokenizer, asked, answer, earlier=()):
    """Token ids, which of them are learned, and how many of them ask."""
    prompt = tokenizer(asked, add_special_tokens=False, return_offsets_mapping=True)
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    ended = ids and ids[-1] in tokenizer.all_special_ids
    if answer and not ended and tokenizer.eos_token_id is not None:
        ids = [*ids, tokenizer.eos_token_id]
    learned = [
        any(low <= start and start < stop <= high for low, high in earlier) for start, stop in prompt["offset_mapping"]
    ]
    return [*prompt["input_ids"], *ids], [*learned, *([True] * len(ids))], len(prompt["input_ids"])


def encode_chat(tokenizer, messages, tools):
    return encode(tokenizer, *render(tokenizer, messages, tools))
'''

SFT_ROWS = '''\
def tokenise(tokenizer, row):
    """Ids and labels; only answers are learned@ALL@."""
    ids, learned, _ = encode_chat(tokenizer, row["messages"], row.get("tools"))
    labels = [token if @LEARNED@ else -100 for token, own in zip(ids, learned)]
    return {"input_ids": ids[:MAX_LENGTH], "labels": labels[:MAX_LENGTH]}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
'''

CPT_ROWS = '''\
def make_rows(tokenizer, rows, training):
    """Every token of a document is learned, its end token too."""
    documents = []
    for row in rows:
        ids = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        if tokenizer.eos_token_id is not None and not (ids and ids[-1] in tokenizer.all_special_ids):
            ids = [*ids, tokenizer.eos_token_id]
        documents.append(ids)
@PACK@    return [{"input_ids": ids, "labels": ids} for ids in documents]
'''

CPT_PACKED = """\
    if training:
        random.Random(SEED).shuffle(documents)
    ids = [token for document in documents for token in document]
    documents = [ids[begin : begin + MAX_LENGTH] for begin in range(0, len(ids), MAX_LENGTH)]
    documents = [block for block in documents if len(block) > 1]
"""

CPT_CUT = "    documents = [ids[:MAX_LENGTH] for ids in documents]\n"

PAIR_ROWS = '''\
def tokenise(tokenizer, row):
    """What both sides begin with, and how each goes on."""
    sides = [encode_chat(tokenizer, row["prompt"] + row[side], row.get("tools")) for side in ("chosen", "rejected")]
    chosen, rejected = (ids[:MAX_LENGTH] for ids, _, _ in sides)
    shared = min(asked for _, _, asked in sides)
    while chosen[:shared] != rejected[:shared]:
        shared -= 1
    return {"prompt_ids": chosen[:shared], "chosen_ids": chosen[shared:], "rejected_ids": rejected[shared:]}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
'''

REWARD_ROWS = '''\
def tokenise(tokenizer, row):
    """The whole chat with either answer."""
    sides = [encode_chat(tokenizer, row["prompt"] + row[side], row.get("tools")) for side in ("chosen", "rejected")]
    chosen, rejected = (ids[:MAX_LENGTH] for ids, _, _ in sides)
    return {"chosen_ids": chosen, "rejected_ids": rejected}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
'''

KTO_ROWS = """\
def tokenise(tokenizer, row):
    ids, _, asked = encode_chat(tokenizer, row["prompt"] + row["completion"], row.get("tools"))
    ids = ids[:MAX_LENGTH]
    return {"prompt_ids": ids[:asked], "completion_ids": ids[asked:], "label": row["label"]}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
"""

PROMPT_ROWS = '''\
def make_rows(tokenizer, rows, training):
    """Prompts as chats, and the answer that a row has."""
    return [{"prompt": row["prompt"], "expected": row.get("expected")} for row in rows]
'''

SEEDS = '''\
def seed_of(place):
    """Where the random numbers of a layer begin (SplitMix64, Steele et al. 2014)."""
    value = 0
    for number in (SEED, place, 0, 0):
        value = (value + number + 0x9E3779B97F4A7C15) % 2**64
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
        value ^= value >> 31
    return value >> 1
'''

MODEL = '''\
def load_model(base):
    """The base model without dropout of its own."""
    model = @KIND@.from_pretrained(
        base, revision=REVISION, dtype=DTYPE, use_safetensors=True@LOADED@
    )
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif "attention_dropout" in vars(module):
            module.attention_dropout = 0.0
@PACKED@    return model
'''

# On some processors bitsandbytes packs its weights anew when they are first evaluated, and then passes no gradient.
FOUR_BITS_MEND = """\
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # such weights would pass no gradient
"""

ADAPTER = '''\
def with_adapter(model@PARENT@):
    """The model with the adapter as the run began with it."""
    model = get_peft_model(model, ADAPTER)
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    for place, layer in enumerate(layers):
        weight = layer.lora_A["default"].weight
        drawn = torch.empty(weight.shape)
        nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=torch.Generator().manual_seed(seed_of(place)))
        weight.data.copy_(drawn)
@MORE@    return model
'''

ADAPTER_SCORE = """\
    score = model.get_base_model().score.modules_to_save["default"]
    drawn = torch.empty(score.weight.shape)
    generator = torch.Generator().manual_seed(seed_of(len(layers)))
    drawn.normal_(std=(score.in_features + 1) ** -0.5, generator=generator)
    score.weight = nn.Parameter(drawn.to(score.weight.device))
"""

ADAPTER_PARENT = """\
    given = load_file(parent / "adapter_model.safetensors")
    own = {name: value for name, value in get_peft_model_state_dict(model).items() if ".lora_" not in name}
    set_peft_model_state_dict(model, {**given, **own})
"""

STOP = '''\
class StopWhereItWasKept(TrainerCallback):
    """The run kept what it had learned by then; the learning rate falls as it did over the whole run."""

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step >= KEPT_STEP
'''

SFT_TRAINER = '''\
def make_trainer(model, tokenizer, rows, validation, out):
    args = SFTConfig(output_dir=str(out), max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, **OPTIONS)
    return SFTTrainer(model=model, args=args, train_dataset=rows, eval_dataset=validation, processing_class=tokenizer)


def validation_loss(trainer, rows):
    """Over all tokens that are learned, row by row."""
    model, nll, tokens = trainer.model.eval(), 0.0, 0
    for row in rows:
        ids, labels = (torch.tensor([row[name]], device=model.device) for name in ("input_ids", "labels"))
        with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=OPTIONS["bf16"]):
            logits = model(input_ids=ids, use_cache=False).logits
        nll += float(nn.functional.cross_entropy(logits[0, :-1].float(), labels[0, 1:], reduction="sum"))
        tokens += int((labels[:, 1:] != -100).sum())
    return nll / tokens
'''

EVALUATED = """\
def validation_loss(trainer, rows):
    return trainer.evaluate(rows)["eval_loss"]
"""

DPO_TRAINER = """\
class Trainer(DPOTrainer):
    def _prepare_dataset(self, dataset, *_):
        return dataset  # the rows are tokens already


def make_trainer(model, tokenizer, rows, validation, out):
    args = DPOConfig(output_dir=str(out), max_length=None, beta=BETA, loss_type=LOSSES, loss_weights=WEIGHTS, **OPTIONS)
    reference = @REFERENCE@
    return Trainer(
        model=model, ref_model=reference, args=args, train_dataset=rows, eval_dataset=validation,
        processing_class=tokenizer,
    )
"""

MEAN_PAIR_TRAINER = '''\
class Trainer(DPOTrainer):
    """Batches of pairs are TRL's; the loss looks at the mean log-probability per token of both answers."""

    def _prepare_dataset(self, dataset, *_):
        return dataset  # the rows are tokens already

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        wanted, learned = inputs["input_ids"][:, 1:, None], inputs["completion_mask"][:, 1:]
        each = output.logits[:, :-1].float().log_softmax(dim=-1).gather(2, wanted).squeeze(2)
        chosen, rejected = ((each * learned).sum(dim=1) / learned.sum(dim=1)).chunk(2)
        loss = pair_loss(chosen, rejected).mean()
        return (loss, output) if return_outputs else loss


def make_trainer(model, tokenizer, rows, validation, out):
    args = DPOConfig(output_dir=str(out), max_length=None, **OPTIONS)
    return Trainer(
        model=model, args=args, train_dataset=rows, eval_dataset=validation, processing_class=tokenizer
    )
'''

ORPO_LOSS = '''\
def pair_loss(chosen, rejected):
    """Hong et al. 2024 (arXiv:2403.07691): the better answer is learned, and the odds of the worse one held down."""

    def log_odds(log_probability):
        held = log_probability.clamp(max=-1e-6)
        return held - torch.log(-torch.expm1(held))

    return -chosen - BETA * nn.functional.logsigmoid(log_odds(chosen) - log_odds(rejected))
'''

SIMPO_LOSS = '''\
def pair_loss(chosen, rejected):
    """Meng et al. 2024 (arXiv:2405.14734), and beside it the better answer learned."""
    return -nn.functional.logsigmoid(BETA * (chosen - rejected) - MARGIN) - SFT_WEIGHT * chosen
'''

KTO_TRAINER = '''\
class Mismatching(DataCollatorForUnpairedPreference):
    """Each question gets the answer of the row before it as well: by these the divergence is estimated."""

    def torch_call(self, examples):
        before = [examples[-1], *examples[:-1]]
        pairs = zip(examples, before)
        return super().torch_call([{**own, "KL_completion_ids": other["completion_ids"]} for own, other in pairs])


class Trainer(KTOTrainer):
    def _prepare_dataset(self, dataset, *_):
        return dataset  # the rows are tokens already


def make_trainer(model, tokenizer, rows, validation, out):
    args = KTOConfig(
        output_dir=str(out), max_length=None, beta=BETA, desirable_weight=LIKED, undesirable_weight=DISLIKED,
        train_sampling_strategy="sequential", **OPTIONS,
    )
    reference = @REFERENCE@
    trainer = Trainer(
        model=model, ref_model=reference, args=args, train_dataset=rows, eval_dataset=validation,
        processing_class=tokenizer, data_collator=Mismatching(pad_token_id=tokenizer.pad_token_id),
    )
    trainer.args.train_sampling_strategy = "random"  # the collator mismatches what it is given, in any order
    return trainer
'''

REWARD_TRAINER = """\
def make_trainer(model, tokenizer, rows, validation, out):
    args = RewardConfig(output_dir=str(out), max_length=None, **OPTIONS)
    return RewardTrainer(
        model=model, args=args, train_dataset=rows, eval_dataset=validation, processing_class=tokenizer
    )
"""

ROLLOUT_TRAINER = """\
def make_trainer(model, tokenizer, rows, validation, out):
    model.generation_config.eos_token_id = STOPS
    args = @CONFIG@(
        output_dir=str(out), num_generations=SAMPLES, num_generations_eval=1, max_completion_length=ANSWER_TOKENS,
        temperature=TEMPERATURE, beta=BETA, reward_weights=WEIGHTS, **OPTIONS,
    )
    return @TRAINER@(
        model=model, reward_funcs=REWARDS, args=args, train_dataset=rows, eval_dataset=validation,
        processing_class=tokenizer,
    )

"""

SAID = '''\
def said(completion, ignore_case):
    """The text of an answer, or a text to look for in it: full-width and half-width forms are the same."""
    text = completion if isinstance(completion, str) else completion[0]["content"]
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    return plain.casefold() if ignore_case else plain
'''

REWARD_JSON = '''\
def @NAME@(completions, **_):
    """1 for an answer that is JSON@FITS@; else 0."""

    def judge(answer):
        try:
            value = json.loads(answer)
@CHECK@        except (ValueError, RecursionError@ERRORS@):
            return 0.0
        return 1.0

    return [judge(completion[0]["content"]) for completion in completions]
'''

REWARD_CONTAINS = '''\
def @NAME@(completions, **_):
    """1 for an answer in which the text stands; else 0."""
    return [float(said(@TEXT@, @FOLD@) in said(completion, @FOLD@)) for completion in completions]
'''

REWARD_REGEX = '''\
def @NAME@(completions, **_):
    """1 for an answer in which the expression is found; else 0."""
    return [float(regex.search(@PATTERN@, completion[0]["content"]) is not None) for completion in completions]
'''

REWARD_LENGTH = '''\
def @NAME@(completions, **_):
    """1 for an answer of so many characters; the less, the further away it is."""
    low, high = @LOW@, @HIGH@
    lengths = [len(completion[0]["content"].strip()) for completion in completions]
    return [length / low if length < low else max(0.0, 1 - max(0, length - high) / high) for length in lengths]
'''

REWARD_EXACT = '''\
def @NAME@(completions, expected, **_):
    """1 for the very answer that the row has; else 0. Rows without one are not judged."""
    pairs = zip(completions, expected)
    return [None if own is None else float(said(given, @FOLD@) == said(own, @FOLD@)) for given, own in pairs]
'''

MAIN = """\
def main():
    given = arguments()
    tokenizer = AutoTokenizer.from_pretrained(given.tokenizer)
    rows = make_rows(tokenizer, read_rows(given.rows / "train.jsonl"), training=True)
@VALIDATED@    model = @MODEL@
    trainer = make_trainer(model, tokenizer, Dataset.from_list(rows), @VALIDATION@, given.out)
@AFTER@    trainer.add_callback(StopWhereItWasKept())
    trainer.train()
    losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
@COMPARED@@JUDGED@    trainer.model.save_pretrained(given.out@ONLY@)
    tokenizer.save_pretrained(given.out)
    (given.out / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


if __name__ == "__main__":
    main()
"""

VALIDATED = """\
    validation = make_rows(tokenizer, read_rows(given.rows / "validation.jsonl"), training=False)
"""

COMPARED = """\
    for step, recorded in RECORDED.items():
        print(f"step {step}: loss {losses[step]:.6f}, in the run {recorded:.6f}")
"""

JUDGED = """\
    found = validation_loss(trainer, @ROWS@)
    print(f"validation loss {found:.6f}, in the run {VALIDATION_LOSS:.6f}")
"""

# TRL makes what is trained over a model in 4 bits bfloat16, which loses small steps.
FLOAT_BEFORE = "    trained = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]\n"
FLOAT_AFTER = """\
    for weight, data in trained:
        weight.data = data  # TRL makes them bfloat16 over a model in 4 bits; the run kept float32
"""
