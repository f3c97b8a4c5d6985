"""`studio serve`: a run answers as an OpenAI-compatible server of this machine, until interrupted."""

import argparse
import logging
import sys

from studio.messages import translate
from studio.shell.command_line import Outcome
from studio.shell.workspace import open_studio


def serve(options: argparse.Namespace) -> Outcome:
    """`studio serve RUN`. Only programs of this machine are answered, and no pages of other sites."""
    import uvicorn

    from studio.backend.serving import chat_service
    from studio.ui.security import OwnPageOnly, listen

    language = options.language
    with open_studio(options, read_only=True) as studio, listen(options.port) as listener:
        print(translate("cli.serve.loading", language), file=sys.stderr)
        with chat_service(studio, options.run, options.step, language) as service:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            values = {"address": address, "models": ", ".join(service.models)}
            print(translate("cli.serve.ready", language, **values), file=sys.stderr, flush=True)
            logging.getLogger("uvicorn").setLevel(logging.WARNING)
            config = uvicorn.Config(OwnPageOnly(service.app), log_config=None, timeout_graceful_shutdown=1)
            uvicorn.Server(config).run(sockets=[listener])
    return Outcome()
