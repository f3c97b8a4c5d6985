"""The trainer of a reproduction script: TRL's, with the loss that TRL does not have, and where it stops."""

from studio.export.facts import RunFacts
from studio.export.script_text import filled
from studio.runs.methods import CptSpec, DpoSpec, KtoSpec, OrpoSpec, RewardSpec, SftSpec, SimpoSpec
from studio.runs.spec import LoraSpec

_SFT_TRAINER = """\
def make_trainer(model, tokenizer, rows, validation, out):
    args = SFTConfig(output_dir=str(out), max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, **OPTIONS)
    return SFTTrainer(model=model, args=args, train_dataset=rows, eval_dataset=validation, processing_class=tokenizer)
"""

_LIKELIHOOD = '''\
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

_EVALUATED = """\
def validation_loss(trainer, rows):
    return trainer.evaluate(rows)["eval_loss"]
"""

_DPO_TRAINER = """\
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

_MEAN_PAIR_TRAINER = '''\
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

_ORPO_LOSS = '''\
def pair_loss(chosen, rejected):
    """Hong et al. 2024 (arXiv:2403.07691): the better answer is learned, and the odds of the worse one held down."""

    def log_odds(log_probability):
        held = log_probability.clamp(max=-1e-6)
        return held - torch.log(-torch.expm1(held))

    return -chosen - BETA * nn.functional.logsigmoid(log_odds(chosen) - log_odds(rejected))
'''

_SIMPO_LOSS = '''\
def pair_loss(chosen, rejected):
    """Meng et al. 2024 (arXiv:2405.14734), and beside it the better answer learned."""
    return -nn.functional.logsigmoid(BETA * (chosen - rejected) - MARGIN) - SFT_WEIGHT * chosen
'''

_KTO_TRAINER = '''\
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

_REWARD_TRAINER = """\
def make_trainer(model, tokenizer, rows, validation, out):
    args = RewardConfig(output_dir=str(out), max_length=None, **OPTIONS)
    return RewardTrainer(
        model=model, args=args, train_dataset=rows, eval_dataset=validation, processing_class=tokenizer
    )
"""

_ROLLOUT_TRAINER = """\
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

_STOP = '''\
class StopWhereItWasKept(TrainerCallback):
    """The run kept what it had learned by then; the learning rate falls as it did over the whole run."""

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step >= KEPT_STEP
'''


def trainer_pieces(run: RunFacts, validates: bool) -> list[str]:
    """`make_trainer`, `validation_loss` where it is to be compared, and what they use."""
    return [*_trainer(run), *([_validation(run)] if validates else []), _STOP]


def _trainer(run: RunFacts) -> list[str]:
    reference = "None" if isinstance(run.spec.tuner, LoraSpec) else "copy.deepcopy(model).requires_grad_(False).eval()"
    match run.spec.method:
        case SftSpec() | CptSpec():
            return [_SFT_TRAINER]
        case DpoSpec():
            return [filled(_DPO_TRAINER, REFERENCE=reference)]
        case KtoSpec():
            return [filled(_KTO_TRAINER, REFERENCE=reference)]
        case SimpoSpec():
            return [_SIMPO_LOSS, _MEAN_PAIR_TRAINER]
        case OrpoSpec():
            return [_ORPO_LOSS, _MEAN_PAIR_TRAINER]
        case RewardSpec():
            return [_REWARD_TRAINER]
        case drawn:
            name = drawn.kind.upper()  # RLOO or GRPO
            return [filled(_ROLLOUT_TRAINER, CONFIG=f"{name}Config", TRAINER=f"{name}Trainer")]


def _validation(run: RunFacts) -> str:
    return _LIKELIHOOD if isinstance(run.spec.method, SftSpec | CptSpec) else _EVALUATED
