"""The words of the command line: its commands, options and help, in the user's language.

Nothing heavy is imported here, so that `studio --help` answers at once.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from studio import __version__
from studio.errors import InputError
from studio.messages import LANGUAGES, catalogue, translate


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to: `values` for `--json` (an `error` in it is also told), `text` for people."""

    values: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    code: int = 0


# What argparse says (3.11 to 3.14) -> the sentence that says it in the user's language.
_USAGE = (
    (r"the following arguments are required: (?P<names>.+)", "error.cli.required"),
    (r"unrecognized arguments: (?P<names>.+)", "error.cli.unrecognized"),
    (r"argument (?P<name>.+?): invalid choice: (?P<value>.+?) \(choose from (?P<known>.+)\)", "error.cli.choice"),
    (r"argument (?P<name>.+?): invalid \w+ value: (?P<value>.+)", "error.cli.value"),
    (r"argument (?P<name>.+?): expected .*", "error.cli.expected"),
)


class CommandParser(argparse.ArgumentParser):
    """argparse whose own words are in the user's language, and whose mistakes are InputErrors."""

    def __init__(self, *, language: str, about: str, **options: Any) -> None:
        say = Say(language)

        class Formatter(argparse.HelpFormatter):
            def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
                super().add_usage(usage, actions, groups, say("cli.usage") if prefix is None else prefix)

        super().__init__(
            description=say(about), formatter_class=Formatter, add_help=False, allow_abbrev=False, **options
        )
        self.words = self.add_argument_group(say("cli.arguments"))
        self.group = self.add_argument_group(say("cli.options"))

    def error(self, message: str) -> NoReturn:
        for pattern, key in _USAGE:
            if found := re.fullmatch(pattern, message, re.DOTALL):
                raise InputError(key, command=self.prog, **found.groupdict())
        raise InputError("error.cli.other", command=self.prog, detail=message)


class Say:
    """The sentences of one language; for argparse, whose help strings are %-formatted, per cent signs are doubled."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        return translate(key, self.language, **values).replace("%", "%%")


def build_parser(language: str) -> CommandParser:
    """The whole command line. `action` in the result names the command's function."""
    say = Say(language)
    parser = CommandParser(language=language, about="cli.about", prog="studio")
    _common(parser, say, top=True)
    parser.set_defaults(action="open")
    parser.group.add_argument("--port", type=_port, help=say("cli.open.port"), metavar="N")
    parser.group.add_argument("--no-browser", action="store_true", help=say("cli.open.no_browser"))
    parser.group.add_argument("--mcp", action="store_true", help=say("cli.open.mcp"))
    parser.group.add_argument("--version", action="version", version=__version__, help=say("cli.version"))
    commands = _commands(parser, say)

    def command(name: str, place: Any = commands, action: str | None = None) -> CommandParser:
        about = f"cli.{action or name}.about"
        made = place.add_parser(name, language=language, about=about, help=say(about))
        made.set_defaults(action=action or name)
        _common(made, say)
        return made

    _run_options(command("run"), say)
    resume = command("resume")
    resume.words.add_argument("run", metavar="RUN", help=say("cli.run_id"))
    command("runs")
    command("settings")
    _export_options(command("export"), say)
    _push_options(command("push"), say)
    _chat_options(command("chat"), say)
    serve = command("serve")
    serve.words.add_argument("run", metavar="RUN", help=say("cli.run_id"))
    serve.group.add_argument("--step", type=int, metavar="N", help=say("cli.step"))
    serve.group.add_argument("--port", type=_port, default=7870, metavar="N", help=say("cli.serve.port"))
    _evaluate_options(command("evaluate"), say)
    data = command("data")
    data.set_defaults(action="data")
    steps = _commands(data, say, required=True)
    _import_options(command("import", steps), say)
    _check_options(command("check", steps), say)
    _clean_options(command("clean", steps), say)
    _split_options(command("split", steps), say)
    _mix_options(command("mix", steps), say)
    _data_export_options(command("export", steps, action="data_export"), say)
    return parser


def _commands(parser: CommandParser, say: Say, required: bool = False) -> Any:
    return parser.add_subparsers(
        title=say("cli.commands"), metavar="COMMAND", required=required, parser_class=CommandParser, dest="command"
    )


def _common(parser: CommandParser, say: Say, top: bool = False) -> None:
    """Options every command takes, before or after its name (SUPPRESS keeps what was said before it)."""
    unsaid: Any = None if top else argparse.SUPPRESS
    options = parser.group
    options.add_argument("-h", "--help", action="help", default=argparse.SUPPRESS, help=say("cli.help"))
    options.add_argument("--workspace", type=Path, default=unsaid, metavar="DIR", help=say("cli.workspace"))
    options.add_argument("--language", choices=LANGUAGES, default=unsaid, help=say("cli.language"))
    options.add_argument(
        "--json", action="store_true", default=False if top else argparse.SUPPRESS, help=say("cli.json")
    )


def _run_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("spec", nargs="?", type=Path, metavar="SPEC.yaml", help=say("cli.run.spec"))
    options = parser.group
    options.add_argument("--data", metavar="FILE", help=say("cli.run.data"))
    options.add_argument("--model", metavar="MODEL", help=say("cli.run.model"))
    options.add_argument("--method", metavar="METHOD", help=say("cli.run.method", known=_methods(say)))
    options.add_argument("--preset", metavar="PRESET", help=say("cli.run.preset"))
    options.add_argument(
        "--set", action="append", default=[], type=_setting, dest="changes", metavar="NAME=VALUE",
        help=say("cli.run.set"),
    )  # fmt: skip
    options.add_argument("--name", default="", metavar="NAME", help=say("cli.run.name"))
    options.add_argument("--cluster", metavar="ADDRESS", help=say("cli.run.cluster"))
    options.add_argument("--workers", type=_whole(1), metavar="N", help=say("cli.run.workers"))
    options.add_argument("--shard", action="store_true", help=say("cli.run.shard"))


def _methods(say: Say) -> str:
    """Every method with its everyday name, as the sentences tell them: importing the methods themselves takes long."""
    kinds = [key.split(".")[2] for key in catalogue(say.language) if re.fullmatch(r"ui\.method\.\w+\.name", key)]
    return ", ".join(say("ui.method.full", name=kind, term=say(f"ui.method.{kind}.name")) for kind in kinds)


def _export_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("run", nargs="?", metavar="RUN", help=say("cli.run_id"))
    options = parser.group
    options.add_argument("--to", type=Path, required=True, metavar="DIR_OR_ZIP", help=say("cli.export.to"))
    options.add_argument("--step", type=int, metavar="N", help=say("cli.step"))
    targets, numbers = (
        _told(say, rf"ui\.export\.{part}") for part in (r"target\.([a-z-]+)\.name", r"numbers\.(\w+\d\w*)")
    )
    options.add_argument("--target", default="adapter", metavar="TARGET", help=say("cli.export.target", known=targets))
    options.add_argument("--numbers", default="", metavar="KIND", help=say("cli.export.numbers", known=numbers))
    options.add_argument("--prompts", type=_whole(1), metavar="N", help=say("cli.export.prompts"))
    options.add_argument("--rows", action="store_true", help=say("cli.export.rows"))
    options.add_argument("--adapter", type=Path, metavar="FOLDER", help=say("cli.export.adapter"))
    options.add_argument("--model", metavar="MODEL", help=say("cli.export.model"))


def _push_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("what", metavar="RUN_OR_EXPORT", help=say("cli.push.what"))
    options = parser.group
    options.add_argument("--to", required=True, metavar="OWNER/NAME", help=say("cli.push.to"))
    options.add_argument("--public", action="store_true", help=say("cli.push.public"))
    options.add_argument("--replace", action="store_true", help=say("cli.push.replace"))
    options.add_argument("--dataset", action="store_true", help=say("cli.push.dataset"))
    options.add_argument("--yes", action="store_true", help=say("cli.push.yes"))


def _chat_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("run", metavar="RUN", help=say("cli.run_id"))
    options = parser.group
    options.add_argument("--prompt", required=True, metavar="TEXT", help=say("cli.chat.prompt"))
    options.add_argument("--system", default="", metavar="TEXT", help=say("cli.chat.system"))
    options.add_argument("--step", type=int, metavar="N", help=say("cli.step"))
    options.add_argument("--seed", type=int, default=0, metavar="N", help=say("cli.chat.seed"))
    options.add_argument(
        "--temperature", type=_number(0, 5), default=0.0, metavar="T", help=say("cli.chat.temperature")
    )
    options.add_argument("--top-p", type=_number(0, 1), default=1.0, metavar="P", help=say("cli.chat.top_p"))
    options.add_argument("--max-tokens", type=_whole(1), default=128, metavar="N", help=say("cli.chat.max_tokens"))


def _evaluate_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("run", metavar="RUN", help=say("cli.run_id"))
    options = parser.group
    options.add_argument("--step", type=int, metavar="N", help=say("cli.step"))
    options.add_argument("--side", choices=("test", "validation", "all"), help=say("cli.evaluate.side"))
    options.add_argument("--data", metavar="VERSION_OR_FILE", help=say("cli.evaluate.data"))
    options.add_argument("--rows", type=_whole(1), metavar="N", help=say("cli.evaluate.rows"))
    exams = options.add_mutually_exclusive_group()
    _several(exams, "--exam", "EXAM", say("cli.evaluate.exam"))
    exams.add_argument("--no-exam", action="store_true", help=say("cli.evaluate.no_exam"))
    options.add_argument("--exam-rows", type=_whole(1), metavar="N", help=say("ui.evaluate.form.exam_rows.help"))
    options.add_argument("--system", metavar="TEXT", help=say("cli.evaluate.system"))
    options.add_argument("--shots", type=_whole(0), metavar="K", help=say("cli.evaluate.shots"))
    _several(options, "--other", "MODEL", say("cli.evaluate.other"))
    _several(options, "--adapter", "FOLDER", say("cli.evaluate.adapter"))
    _several(options, "--metric", "NAME", say("cli.evaluate.metric", known=_metrics(say)))
    options.add_argument("--schema", type=Path, metavar="FILE", help=say("cli.evaluate.schema"))
    options.add_argument("--judge", metavar="MODEL", help=say("cli.evaluate.judge"))
    options.add_argument("--judge-address", metavar="URL", help=say("cli.evaluate.judge_address"))
    options.add_argument(
        "--judge-seconds", type=_number(1, 3600), metavar="S", help=say("ui.evaluate.form.judge_seconds")
    )


def _several(options: Any, name: str, metavar: str, about: str) -> None:
    options.add_argument(name, action="extend", nargs="+", default=[], metavar=metavar, help=about)


def _metrics(say: Say) -> str:
    return _told(say, r"ui\.metric\.(\w+)\.name")


def _told(say: Say, pattern: str) -> str:
    """The names that are part of the keys of sentences: importing what defines them takes long."""
    return ", ".join(found[1] for key in catalogue(say.language) if (found := re.fullmatch(pattern, key)))


def _check_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("file", metavar="FILE", help=say("cli.check.file"))
    options = parser.group
    options.add_argument("--model", default="starter", metavar="MODEL", help=say("cli.run.model"))
    options.add_argument("--max-length", type=_whole(16), default=256, metavar="N", help=say("cli.check.max_length"))
    _cluster_option(parser, say)


def _import_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("file", metavar="FILE", help=say("cli.check.file"))
    parser.group.add_argument("--encoding", metavar="NAME", help=say("cli.import.encoding"))


def _clean_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("file", metavar="FILE", help=say("cli.check.file"))
    options = parser.group
    options.add_argument("--recipe", type=Path, required=True, metavar="RECIPE.yaml", help=say("cli.clean.recipe"))
    options.add_argument("--to", type=Path, required=True, metavar="OUT", help=say("cli.clean.to"))
    _cluster_option(parser, say)


def _cluster_option(parser: CommandParser, say: Say) -> None:
    parser.group.add_argument("--cluster", metavar="ADDRESS", help=say("cli.cluster"))


def _split_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("file", metavar="FILE", help=say("cli.check.file"))
    options = parser.group
    options.add_argument(
        "--validation", type=_number(0, 0.5), default=0.1, metavar="X", help=say("cli.split.validation")
    )
    options.add_argument("--test", type=_number(0, 0.4), default=0.0, metavar="X", help=say("cli.split.test"))
    options.add_argument("--seed", type=_whole(0), default=0, metavar="N", help=say("cli.split.seed"))
    options.add_argument("--stratify", metavar="COLUMN", help=say("cli.split.stratify"))
    options.add_argument("--group-near-duplicates", action="store_true", help=say("cli.split.group"))
    options.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="jsonl", help=say("cli.split.format"))
    options.add_argument("--to", type=Path, required=True, metavar="DIR", help=say("cli.split.to"))


def _mix_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("spec", type=Path, metavar="SPEC.yaml", help=say("cli.mix.spec"))
    options = parser.group
    options.add_argument("--to", type=Path, metavar="OUT", help=say("cli.mix.to"))
    options.add_argument("--plan", action="store_true", help=say("cli.mix.plan"))


def _data_export_options(parser: CommandParser, say: Say) -> None:
    parser.words.add_argument("version", metavar="VERSION", help=say("cli.data_export.version"))
    options = parser.group
    options.add_argument("--to", type=Path, required=True, metavar="DIR_OR_ZIP", help=say("cli.data_export.to"))
    options.add_argument("--format", choices=("jsonl", "parquet"), default="jsonl", help=say("cli.data_export.format"))


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError(text)
    return port


def _whole(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError(text)
        return value

    return number


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return number


def _setting(text: str) -> tuple[str, str]:
    """`training.epochs=1` as path and value; the value is read as YAML when it is applied."""
    path, equals, value = text.partition("=")
    if not (path and equals):
        raise ValueError(text)
    return path, value
