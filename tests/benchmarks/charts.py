"""How quick the Runs tab is: redrawing a run of 20 000 steps, listing 1 000 runs; in Python and in a real browser.

    python -m tests.benchmarks.charts [--runs 1000] [--steps 20000] [--no-browser]

Prints one JSON object, in seconds (the middle of seven tries). A redraw is: one new step is committed; what is new is
read; the panels are made (`make`); the browser draws them (`draw`); together they must stay under 0.2. The list must
stay under 0.3.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from studio.backend.datasets import Datasets
from studio.backend.runner import Runner
from studio.messages import translate
from studio.runs.store import Store
from studio.settings import Settings
from studio.ui import run_view
from studio.ui.charts import run_charts, to_json
from tests.benchmarks.record import fill, metrics

TRIES = 7


def middle(action: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def draw_seconds(values: list[str]) -> float:
    """The middle of the times a browser takes to draw the values one after the other."""
    from tests.browser import open_browser

    settings = Settings(workspace=Path())
    script = (settings.assets / "js" / "chart.js").read_text(encoding="utf-8")
    css = (settings.assets / "css" / "runs.css").read_text(encoding="utf-8")
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_content(f"<style>{css}</style><div id='chart' class='charts' style='width: 860px'></div>")
        page.evaluate(
            """script => {
              window.props = {value: null};
              const watch = (_, update) => { window.update = update; };
              Function('element', 'props', 'watch', script)(document.getElementById('chart'), window.props, watch);
            }""",
            script,
        )
        # Layout is forced, so that the time holds all but the paint itself.
        times = [
            page.evaluate(
                """value => {
                  const began = performance.now();
                  window.props.value = value;
                  window.update();
                  document.getElementById('chart').getBoundingClientRect();
                  return (performance.now() - began) / 1000;
                }""",
                value,
            )
            for value in values
        ]
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--no-browser", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(workspace=Path(folder))
        store = Store(settings.workspace)
        runner = Runner(settings, store, Datasets(settings, store), worker=False)
        for _ in range(asked.runs - 1):
            fill(store, 20)
        run = fill(store, asked.steps)
        runner.state(run)
        values: list[str] = []

        def redraw() -> None:
            store.append(run, metrics(asked.steps + len(values) + 1))
            values.append(to_json(run, run_charts(runner.state(run), "sft", translate), translate))

        def listed() -> None:
            run_view.history(runner.runs(), run, [], {}, "", None, translate)

        found = {"steps": asked.steps, "runs": asked.runs, "make": middle(redraw), "list": middle(listed)}
        found["bytes"] = len(values[-1])
        if not asked.no_browser:
            found["draw"] = draw_seconds(values)
            found["redraw"] = found["make"] + found["draw"]
        store.close()
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in found.items()}))


if __name__ == "__main__":
    main()
