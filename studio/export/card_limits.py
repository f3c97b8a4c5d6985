"""What a tuned model is for and what it is not, as far as the record tells."""

from studio.export.card_front import spoken
from studio.export.card_text import escaped, span
from studio.export.facts import CardFacts, RunFacts
from studio.messages import translate

# With fewer rows what was learned may be those rows alone.
FEW_ROWS = 200


def limits(facts: CardFacts, run: RunFacts, language: str) -> list[str]:
    """One sentence or two each."""

    def say(key: str, **values: object) -> str:
        return translate(f"ui.export.card.use.{key}", language, **values)

    data, training, found = run.data, run.training, run.evaluation
    length = min(run.spec.data.max_length, facts.base.context_length)
    lines = [
        say(f"for.{run.spec.method.learns}", data=span(data.name)),
        say("yours"),
        _languages(run, language),
        say("few", rows=data.train_rows) if data.train_rows < FEW_ROWS else say("rows", rows=data.train_rows),
        say("length", tokens=f"{length:,}"),
        *([say("truncated", rows=training.truncated)] if training.truncated else []),
        say("evaluated", rows=found.rows) if found else say("not_evaluated"),
        say("base", base=span(facts.base.name)),
    ]
    return [*lines, *_personal(run, language)]


def _languages(run: RunFacts, language: str) -> str:
    if not run.data.languages:
        return translate("ui.export.card.use.languages.unknown", language)
    rows = sum(count for _, count in run.data.languages)
    counts = dict(run.data.languages)
    named = " · ".join(f"`{code}` ({counts[code] / rows:.0%})" for code in spoken(run))
    if not named:
        return translate("ui.export.card.use.languages.unknown", language)
    return translate("ui.export.card.use.languages", language, languages=named)


def _personal(run: RunFacts, language: str) -> list[str]:
    """What looks like personal data or secrets: a model can give away what it has read."""
    found = run.data.personal
    if found is None:
        return [translate("ui.export.card.use.personal.unknown", language)]
    told = found[language]
    key = "found" if told else "none"
    return [translate(f"ui.export.card.use.personal.{key}", language, found=" ".join(map(escaped, told)))]
