"""The model of a reproduction script, and the adapter on it as the run began with it."""

from studio.export.facts import RunFacts
from studio.export.script_text import filled
from studio.runs.spec import LoraSpec

_SEEDS = '''\
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

_MODEL = '''\
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

_FOUR_BITS = """\
,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPE,
        ),
        device_map="cuda" if torch.cuda.is_available() else "cpu","""

# On some processors bitsandbytes packs its weights anew when they are first evaluated, and then passes no gradient.
_FOUR_BITS_MEND = """\
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # such weights would pass no gradient
"""

_ADAPTER = '''\
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

_ADAPTER_SCORE = """\
    score = model.get_base_model().score.modules_to_save["default"]
    drawn = torch.empty(score.weight.shape)
    generator = torch.Generator().manual_seed(seed_of(len(layers)))
    drawn.normal_(std=(score.in_features + 1) ** -0.5, generator=generator)
    score.weight = nn.Parameter(drawn.to(score.weight.device))
"""

_ADAPTER_PARENT = """\
    given = load_file(parent / "adapter_model.safetensors")
    own = {name: value for name, value in get_peft_model_state_dict(model).items() if ".lora_" not in name}
    set_peft_model_state_dict(model, {**given, **own})
"""


def model_pieces(run: RunFacts) -> list[str]:
    """`load_model`, and `with_adapter` where there is one."""
    if not isinstance(run.spec.tuner, LoraSpec):
        return [_model(run)]
    parent = run.training.parent is not None
    more = ("" if run.spec.method.writes else _ADAPTER_SCORE) + (_ADAPTER_PARENT if parent else "")
    return [_SEEDS, _model(run), filled(_ADAPTER, PARENT=", parent" if parent else "", MORE=more)]


def _model(run: RunFacts) -> str:
    four, writes = run.spec.tuner.quantisation == "nf4", run.spec.method.writes
    return filled(
        _MODEL,
        KIND="AutoModelForCausalLM" if writes else "AutoModelForSequenceClassification",
        LOADED=("" if writes else ", num_labels=1") + (_FOUR_BITS if four else ""),
        PACKED=_FOUR_BITS_MEND if four else "",
    )
