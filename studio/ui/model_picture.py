"""A model as a small picture: its parts in the order text runs through them, and which of them a run trains. Pure."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from studio.runs.spec import LoraSpec, RunSpec
from studio.ui.choice_view import count, percent
from studio.ui.markup import shown

if TYPE_CHECKING:
    from studio.models.shape import ModelShape, Part

_IN_LAYERS: "tuple[Part, ...]" = ("attention", "mixer", "mlp", "experts")
_VARIANTS = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}
T = Callable[..., str]


def model_picture(shape: "ModelShape", spec: RunSpec, t: T, language: str) -> str:
    """Embeddings, layers and output of the model, those that are trained coloured, with a sentence on how many numbers
    that is. A list of words to those who do not see it."""
    tuner, scores = spec.tuner, not spec.method.writes
    trained = shape.trained(tuner, scores=scores)
    small = shape.in_four_bits() if tuner.quantisation == "nf4" else {}

    def part(name: "Part", label: str = "") -> str:
        label = label or t(f"ui.train.picture.part.{name}")
        classes, words = ["mp-part"], []
        if isinstance(tuner, LoraSpec) and trained[name] and name != "head":
            classes.append("mp-adapter")
            adapter = {"kind": _VARIANTS[tuner.variant], "count": count(trained[name], language)}
            words.append(t("ui.train.picture.adapter", **adapter))
        elif trained[name]:
            classes.append("mp-trained")
            words.append(t("ui.train.picture.trained"))
        else:
            words.append(t("ui.train.picture.frozen"))
        if small.get(name):
            classes.append("mp-small")
            words.append(t("ui.train.picture.four_bits"))
        told = t("ui.train.picture.join").join(words)
        return f'<li class="{" ".join(classes)}"><b>{shown(label)}</b> <span>{shown(told)}</span></li>'

    inner = "".join(part(name) for name in _IN_LAYERS if shape.numbers[name])
    layers = shown(t("ui.train.picture.layers", layers=shape.blocks))
    head = t("ui.train.picture.part.score") if scores else t("ui.train.picture.part.tied") if shape.tied else ""
    last = part("embeddings" if shape.tied and not scores else "head", head)
    said = "".join(f"<p>{shown(line)}</p>" for line in _words(shape, spec, t, language))
    return (
        f'<figure class="mp" aria-label="{shown(t("ui.train.picture.title"))}"><ol class="mp-stack">'
        f"{part('embeddings')}"
        f'<li class="mp-layers"><span>{layers}</span><ol>{inner}</ol></li>{last}</ol>'
        f"<figcaption>{said}</figcaption></figure>"
    )


def _words(shape: "ModelShape", spec: RunSpec, t: T, language: str) -> list[str]:
    tuner, every = spec.tuner, count(shape.parameters, language)
    trained = sum(shape.trained(tuner, scores=not spec.method.writes).values())
    if not isinstance(tuner, LoraSpec):
        return [t("ui.train.picture.full", every=every)]
    share = percent(trained / shape.parameters)
    lines = [t("ui.train.picture.sum", trained=count(trained, language), every=every, share=share)]
    if tuner.quantisation == "nf4":
        small = sum(shape.in_four_bits().values())
        lines.append(t("ui.train.picture.small", share=percent(small / shape.parameters)))
    if shape.numbers["experts"]:
        lines.append(t("ui.train.picture.experts"))
    return lines
