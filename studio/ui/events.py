"""What Gradio's page makes of the handlers of events: one event for one handler where it must be, progress nowhere else
than where it is shown, and a start that waits for what fills its form."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr


def when_settled(button: gr.Button, handler: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Call the handler at a press, with what the form holds once all that fills it has answered: a press that follows a
    change at once must not begin with what the form held before. Only handlers with `queue=False` are waited for."""
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    settled = button.click(None, None, None, js="() => window.studio.settled()", queue=False, **quiet)
    settled.then(handler, list(inputs), list(outputs), **quiet)


def untangle(blocks: gr.Blocks) -> None:
    """Give each handler with `trigger_mode="always_last"` that shares an event an event of its own.

    Gradio 6 remembers a trigger that came while such a handler was busy, and when it is done tells the event anew: to
    all handlers of that event, not to this one alone. Two that share an event keep each other going for ever.
    """
    shared = Counter(target for function in blocks.fns.values() for target in function.targets)
    for function in list(blocks.fns.values()):
        alone = function.trigger_after is not None or all(shared[target] == 1 for target in function.targets)
        if function.trigger_mode != "always_last" or function.collects_event_data or alone:
            continue
        turn = gr.Number(0, visible=False)
        places: list[tuple[int, str]] = function.targets  # type: ignore[assignment]
        triggers = [getattr(blocks if place == blocks._id else blocks.blocks[place], name) for place, name in places]
        gr.on(
            triggers,
            None, turn, turn, js="(turn) => turn + 1", queue=False, show_progress="hidden", trigger_mode="multiple",
        )  # fmt: skip
        function.targets = [(turn._id, "change")]  # type: ignore[assignment]


def quieten(blocks: gr.Blocks, nowhere: gr.Number) -> None:
    """Let a handler that shows no progress tell none to what it fills.

    Gradio 6 tells it all the same: whenever any handler begins or ends, the page looks up each component that a handler
    ever filled and copies it, with all within it. On ours, that took most of the browser's time. `nowhere` is seen by
    nobody, and is soon found: the page looks in the order of its layout.
    """
    for function in blocks.fns.values():
        if function.show_progress == "hidden":
            function.show_progress_on = [nowhere]
