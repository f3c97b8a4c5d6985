"""The front matter of a model card, as the Hub reads it (https://huggingface.co/docs/hub/model-cards)."""

import yaml

from studio.export.facts import CardFacts, RunFacts
from studio.export.names import is_on_hub
from studio.runs.exports import ExportSpec
from studio.runs.spec import LoraSpec

_LOSS = "loss"
# A language with less of the rows is hardly learned.
_LANGUAGE_SHARE = 0.1
# What stands for a data set that is on no Hub.
_OWN_DATA = "own"


def front_matter(facts: CardFacts, export: ExportSpec) -> str:
    """Between its two lines of dashes."""
    run = facts.run
    adapter = export.target == "adapter" and not facts.full
    front: dict[str, object] = {"pipeline_tag": "text-generation", "tags": _tags(facts, export)}
    if not export.target.startswith("gguf"):
        front["library_name"] = "peft" if adapter else "transformers"
    if is_on_hub(facts.base):
        front["base_model"] = facts.base.name
        front["base_model_relation"] = "adapter" if "adapter" in export.target and not facts.full else "finetune"
    if facts.base.licence:
        front["license"] = facts.base.licence
    if run and (languages := spoken(run)):
        front["language"] = languages
    if run and (results := _results(run)):
        front["model-index"] = [{"name": facts.name, "results": results}]
    return f"---\n{yaml.safe_dump(front, sort_keys=True, allow_unicode=True)}---\n"


def spoken(run: RunFacts) -> list[str]:
    """The languages that a good part of the rows is in."""
    found = run.data.languages
    rows = sum(count for _, count in found)
    return [code for code, count in found if count >= _LANGUAGE_SHARE * rows and len(code) == 2]


def _tags(facts: CardFacts, export: ExportSpec) -> list[str]:
    run, tags = facts.run, []
    if run:
        tags += [run.spec.tuner.variant if isinstance(run.spec.tuner, LoraSpec) else "full", run.spec.method.kind]
    return [*tags, *(["gguf"] if export.target.startswith("gguf") else [])]


def _results(run: RunFacts) -> list[dict[str, object]]:
    """What the Hub shows as evaluation results: one entry a data set."""
    data = f"{run.data.name} (version {run.data.version})"
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    if run.loss_after is not None:
        found[data, "validation"] = [{"type": _LOSS, "name": "Validation loss", "value": run.loss_after}]
    for score in run.evaluation.scores if run.evaluation else ():
        one = {"type": score.metric, "name": score.title, "value": score.value}
        found.setdefault((score.data, "test"), []).append(one)
    return [
        {
            "task": {"type": "text-generation", "name": "Text generation"},
            "dataset": {"name": name, "type": _OWN_DATA, "split": split},
            "metrics": metrics,
        }
        for (name, split), metrics in found.items()
    ]
