"""`studio` / `python -m studio`: open the page, or take any step of the work from the shell.

Exit codes: 0 done, 2 what the user gave is wrong, 1 anything else. With `--json` the one thing on standard output is
one JSON object, also when something went wrong; progress and sentences for people go to standard error.
"""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from studio.errors import InputError, StudioError
from studio.messages import LANGUAGES, translate
from studio.shell.command_line import Outcome, build_parser

log = logging.getLogger("studio")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    language = choose_language(words, os.environ)
    as_json = "--json" in words
    try:
        outcome = _run(words, language, as_json)
    except StudioError as error:
        outcome = _problem(error.key, error.message(language), 2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        outcome = _problem("cli.interrupted", translate("cli.interrupted", language), 1)
    except Exception:
        log.exception("the command failed")
        outcome = _problem("cli.bug", translate("cli.bug", language), 1)
    if problem := outcome.values.get("error"):
        print(problem, file=sys.stderr)
    try:
        if as_json or outcome.text:
            print(json.dumps(outcome.values, ensure_ascii=False) if as_json else outcome.text, flush=True)
    except BrokenPipeError:
        # Its reader took what it wanted, as `head` does. The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return outcome.code


def _run(words: list[str], language: str, as_json: bool) -> Outcome:
    options = build_parser(language).parse_args(words)
    options.language = language
    from studio.shell import commands

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        return commands.COMMANDS[options.action](options)


def _problem(key: str, message: str, code: int) -> Outcome:
    return Outcome({"error": message, "key": key}, code=code)


def choose_language(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """`--language`, else the shell's own (`LC_ALL`, `LC_MESSAGES`, `LANG`), else English."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--language":
            asked = value if equals else next(iter(words[place + 1 :]), "")
            return asked if asked in LANGUAGES else LANGUAGES[0]
    named = next((v for k in ("LC_ALL", "LC_MESSAGES", "LANG") if (v := environment.get(k))), "")
    short = named.split(".")[0].split("_")[0].lower()
    return short if short in LANGUAGES else LANGUAGES[0]


if __name__ == "__main__":
    sys.exit(main())
