"""`studio push`: an export on the Hugging Face Hub, once who types has agreed to what goes where."""

import argparse
import getpass
import sys
from pathlib import Path

from studio.backend.publishing import Parcel, Place, terms
from studio.backend.studio import Studio
from studio.errors import InputError
from studio.messages import translate
from studio.shell.command_line import Outcome
from studio.shell.text_table import printable, text_table
from studio.shell.workspace import bar_of, open_studio


def push(options: argparse.Namespace) -> Outcome:
    """`studio push RUN_OR_EXPORT --to OWNER/NAME`. The token is never a word of the command, which shells remember."""
    language = options.language
    place = Place(options.to, not options.public, options.replace, "dataset" if options.dataset else "model")
    with open_studio(options) as studio:
        source = _source(studio, options.what)
        token = "" if studio.settings.offline or studio.publishing.has_token() else _ask_token(language)
        parcel = studio.publishing.look(source, place, token)
        print(_told(parcel, language), file=sys.stderr)
        if not (options.yes or _agreed(language)):
            return Outcome({"pushed": False}, translate("cli.push.left", language), code=1)
        with bar_of("cli.push.bar", language) as tell:
            made = studio.publishing.push(parcel, token, tell=tell)
    return Outcome(
        {"pushed": True, **made.model_dump(mode="json")},
        translate("cli.push.done", language, url=made.url, commit=made.commit[:12]),
    )


def _source(studio: Studio, what: str) -> Path:
    """A folder or a zip of this name, else the export of this run."""
    path = Path(what).expanduser().absolute()
    if path.exists():
        return path
    run = studio.store.run(what).id
    exports = [made.path for made in studio.exports.made(run)]
    if not exports:
        raise InputError("error.hub.not_exported", run=run)
    first, *others = exports
    if others:
        raise InputError("error.hub.several", run=run, exports=", ".join(str(one) for one in exports))
    return first


def _told(parcel: Parcel, language: str) -> str:
    files = [(printable(name), f"{size:,} B") for name, size in parcel.files]
    agreed = [(name, printable(text)) for name, text in terms(parcel, language)]
    return f"{text_table(files)}\n\n{text_table(agreed)}"


def _ask_token(language: str) -> str:
    """Typed without an echo; nobody is asked who does not sit at a terminal."""
    return getpass.getpass(translate("cli.push.token", language) + " ") if sys.stdin.isatty() else ""


def _agreed(language: str) -> bool:
    """Raises InputError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise InputError("error.hub.not_agreed")
    print(translate("cli.push.agree", language), end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes", "はい")
