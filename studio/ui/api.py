"""What programs may ask of the open studio: endpoints with stable names and types, by `gradio_client` and over MCP.

They lie beside the page's own handlers, which are private. Descriptions are in Gradio's own form, which its
documentation of endpoints and the descriptions of MCP tools are read from.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import gradio as gr
from gradio.events import api
from pydantic import ValidationError

from studio.errors import InputError, StudioError
from studio.messages import translate
from studio.runs.exports import ExportSpec
from studio.runs.spec import with_changes

if TYPE_CHECKING:
    from studio.backend.runner import RunSummary
    from studio.backend.studio import Studio
    from studio.backend.versions import Version

log = logging.getLogger("studio")


class Run(TypedDict):
    """A run as it stands. `status`: queued, running, done, stopped, failed or interrupted."""

    run: str
    name: str
    created: str
    status: str
    step: int
    total_steps: int
    method: str
    model: str
    version: str
    validation_loss_before: float | None
    validation_loss: float | None
    message: str


class Dataset(TypedDict):
    """A version of a data set. `version` is the id that runs are started with."""

    version: str
    name: str
    number: int
    rows: int
    layout: str
    columns: list[str]
    notes: list[str]


class Check(TypedDict):
    """Something that would spoil training. `rows`: a few of those it was found in."""

    kind: str
    severity: str
    message: str
    count: int
    rows: list[int]


class Answers(TypedDict):
    """The same question to both. `identical`: the tuning seems to change nothing."""

    base: str
    tuned: str
    identical: bool | None


class Exported(TypedDict):
    """A file or folder on this computer, proven by `program`: `equal` of `prompts` answers are those of the run. (What
    has a `path`, clients of Gradio take for an upload.)"""

    file: str
    bytes: int
    sha256: str
    program: str
    prompts: int
    equal: int


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of one language's page: each public method is one of them."""

    studio: "Studio"
    language: str

    def list_datasets(self) -> list[Dataset]:
        """The data sets of the workspace with all their versions, newest data set first."""
        return [self._dataset(version) for version in self.studio.datasets.versions()]

    def import_data(self, path: str, encoding: str = "") -> Dataset:
        """Make a data set of a file, an archive or a folder of this computer.

        Args:
            path: where it is: CSV, JSON, JSONL, Parquet, Excel, text, Markdown, HTML, PDF, zipped or not
            encoding: of a text file, where it is not recognised rightly; empty to recognise it
        """
        place = Path(path).expanduser()
        if not path.strip() or not place.is_absolute() or not place.exists():
            raise InputError("error.api.path", path=path)
        return self._dataset(self.studio.import_data(place, encoding or None))

    def check_data(self, version: str, model: str = "starter", max_length: int = 256) -> list[Check]:
        """What would spoil a training with this data: duplicates, leaks, cut answers, secrets and more.

        Args:
            version: of the data set, by its id
            model: the model whose tokens are counted: `starter`, a folder, or a name of the Hugging Face Hub
            max_length: the most tokens of a row that are trained on
        """
        found = self.studio.datasets.findings(version, model, max_length)
        return [
            Check(
                kind=one.key.removeprefix("finding."),
                severity=one.severity,
                message=one.message(self.language),
                count=one.count,
                rows=list(one.examples),
            )
            for one in found
        ]

    def list_runs(self) -> list[Run]:
        """All runs, newest first."""
        return [self._run(summary) for summary in self.studio.runner.runs()]

    def run_status(self, run: str) -> Run:
        """How a run stands.

        Args:
            run: the run's id
        """
        self.studio.runner.record(run)
        return next(self._run(summary) for summary in self.studio.runner.runs() if summary.record.id == run)

    def start_run(
        self,
        version: str,
        preset: str = "quick-look",
        method: str = "",
        model: str = "starter",
        settings: dict[str, Any] | None = None,
        name: str = "",
    ) -> Run:
        """Queue a run: it trains as soon as those before it are done, also when nobody asks for it any more.

        Args:
            version: of the data set, by its id
            preset: the name of a preset, such as `quick-look`, `balanced` or `thorough`
            method: how to learn: sft, cpt, dpo, simpo, orpo, kto, reward, rloo or grpo; empty for what the data suits
            model: `starter`, a folder, or a name of the Hugging Face Hub
            settings: further settings by their paths, such as {"training.epochs": 1}
            name: what the run is called; empty for the name of the data set
        """
        self.studio.models.look(model)

        def make() -> Any:
            chosen = settings or {}
            tuner = "full" if chosen.get("tuner.kind") == "full" else "lora"
            spec = self.studio.default_spec(version, preset, model, method or None, tuner)
            return with_changes(spec, chosen)

        return self.run_status(self.studio.start(make, name).id)

    def stop_run(self, run: str) -> Run:
        """Stop a run after its present step, keeping what it has learned, or take it off the queue.

        Args:
            run: the run's id
        """
        self.studio.runner.stop(run)
        return self.run_status(run)

    def chat(
        self,
        run: str,
        prompt: str,
        system: str = "",
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
        step: int | None = None,
    ) -> Answers:
        """Ask the base model and the tuned one the same.

        Args:
            run: the run's id
            prompt: what to ask
            system: a system prompt before it
            max_tokens: the longest answer, in tokens
            temperature: 0 takes the likeliest token each time; higher is more varied
            seed: of the random choices
            step: a checkpoint's step instead of the result
        """
        base, tuned = self.studio.ask(
            run, prompt, system=system, step=step, temperature=temperature, max_new_tokens=max_tokens, seed=seed
        )
        return Answers(base=base.text, tuned=tuned.text, identical=tuned.identical)

    def evaluate(self, run: str, rows: int | None = None, step: int | None = None) -> dict[str, Any]:
        """Ask base and tuned model rows that were never trained on, and general questions: figures with intervals, the
        verdict with its reasons, what to try next. It may take minutes; answers are kept, so that none is asked twice.

        Args:
            run: the run's id
            rows: at most so many rows of the data; without it as the run was evaluated last
            step: a checkpoint's step instead of the result
        """
        from studio.shell.report_text import report_values

        changes: dict[str, Any] = {} if rows is None else {"rows": rows}
        report = self.studio.evaluate(run, step, **changes)
        return report_values(run, step, report, self.language)

    def export(
        self,
        run: str,
        target: str = "adapter",
        numbers: str = "",
        prompts: int = ExportSpec().prompts,
        step: int | None = None,
    ) -> Exported:
        """Make an export of a run, given only when the program it is for answers with it as the run does.

        Args:
            run: the run's id
            target: adapter (a zip for PEFT), merged (a model for Transformers), gguf or gguf-adapter (for llama.cpp)
            numbers: what weights are written in, such as float16 of merged or Q8_0 of gguf; empty for the usual
            prompts: so many are asked for the proof
            step: a checkpoint's step instead of the result
        """
        try:
            spec = ExportSpec.model_validate({"target": target, "numbers": numbers, "prompts": prompts})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "numbers"
            raise InputError("error.api.export", place=place, problem=first["msg"]) from None
        made = self.studio.exports.make(run, step, spec)
        return Exported(
            file=str(made.path),
            bytes=made.bytes,
            sha256=made.sha256,
            program=made.proof.program,
            prompts=made.proof.prompts,
            equal=made.proof.equal,
        )

    def _dataset(self, version: "Version") -> Dataset:
        return Dataset(
            version=version.id,
            name=version.name,
            number=version.number,
            rows=version.rows,
            layout=version.mapping.layout if version.mapping else "",
            columns=[column.name for column in version.columns],
            notes=[translate(note.key, self.language, **note.values) for note in version.notes],
        )

    def _run(self, summary: "RunSummary") -> Run:
        record, state, ended = summary.record, summary.state, summary.state.ended
        return Run(
            run=record.id,
            name=record.name,
            created=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds"),
            status=state.status,
            step=state.step,
            total_steps=state.total_steps,
            method=record.spec.method.kind,
            model=record.spec.model.source,
            version=record.version,
            validation_loss_before=state.validation_loss_before,
            validation_loss=ended.validation_loss if ended else state.latest("validation_loss"),
            message=translate(ended.key, self.language, **ended.values) if ended and ended.key else "",
        )


NAMES = tuple(name for name in vars(Endpoints) if not name.startswith("_") and callable(vars(Endpoints)[name]))
"""The endpoints' names, which stay as they are."""


def add_api(blocks: gr.Blocks, studio: "Studio", language: str) -> None:
    """Add the endpoints to the page that is being built, as all that programs see of it: every handler that is there
    already becomes private, and leaves them their names."""
    for function in blocks.fns.values():
        function.api_visibility = "private"
        if function.api_name in NAMES:
            function.api_name = f"{function.api_name}_of_page"
    endpoints = Endpoints(studio, language)
    for name in NAMES:
        api(_told(getattr(endpoints, name), language), api_name=name)


def _told(endpoint: Callable[..., Any], language: str) -> Callable[..., Any]:
    """The endpoint, its errors told as plain sentences; a bug goes to the log."""

    @functools.wraps(endpoint)
    def call(*given: Any) -> Any:
        try:
            return endpoint(*given)
        except StudioError as error:
            raise gr.Error(error.message(language), print_exception=False) from None
        except Exception as error:
            log.error("an endpoint failed", exc_info=error)
            raise gr.Error(translate("error.bug", language, log="logs/studio.log"), print_exception=False) from None

    return call
