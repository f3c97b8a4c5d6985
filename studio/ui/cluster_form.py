"""Where a run is trained: this machine, or a Ray cluster."""

from dataclasses import dataclass

import gradio as gr

from studio.runs.cluster import ClusterSpec, parse_cluster
from studio.ui.markup import shown
from studio.ui.page import Page

HERE, CLUSTER = "here", "cluster"


@dataclass(frozen=True, slots=True)
class ClusterForm:
    """The choice, and what a cluster needs, seen while one is chosen."""

    where: gr.Radio
    about: gr.Column
    address: gr.Textbox
    workers: gr.Number
    sharding: gr.Radio

    @property
    def inputs(self) -> list[gr.Radio | gr.Textbox | gr.Number]:
        """What `cluster_of` reads."""
        return [self.where, self.address, self.workers, self.sharding]


def build_cluster(page: Page) -> ClusterForm:
    """Lay it out and wire it."""
    t, first = page.t, ClusterSpec()
    where = gr.Radio(
        [(t(f"ui.train.where.{name}"), name) for name in (HERE, CLUSTER)],
        value=HERE,
        label=t("ui.train.where"),
        elem_id="train-where",
    )
    with gr.Column(visible=False, elem_id="train-cluster") as about:
        address = gr.Textbox(
            first.address,
            label=t("ui.train.where.address"),
            info=t("ui.train.where.address.help"),
            max_lines=1,
            max_length=300,
            elem_id="train-cluster-address",
        )
        workers = gr.Number(
            first.workers,
            label=t("ui.train.where.workers"),
            info=t("ui.train.where.workers.help"),
            precision=0,
            minimum=1,
            elem_id="train-cluster-workers",
        )
        sharding = gr.Radio(
            [(t(f"ui.train.where.sharding.{name}"), name) for name in ("none", "full")],
            value=first.sharding,
            label=t("ui.train.where.sharding"),
            info=t("ui.train.where.sharding.help"),
            elem_id="train-cluster-sharding",
        )
        gr.HTML(f'<p class="quiet">{shown(t("ui.train.where.cost"))}</p>', apply_default_css=False)
    where.change(
        lambda chosen: gr.update(visible=chosen == CLUSTER),
        where,
        about,
        queue=False,
        show_progress="hidden",
        trigger_mode="always_last",
    )
    return ClusterForm(where, about, address, workers, sharding)


def cluster_of(where: str, address: str, workers: float | None, sharding: str) -> ClusterSpec | None:
    """None: this machine. Raises SpecError that tells what is wrong with the others."""
    values = {"address": address.strip(), "workers": workers, "sharding": sharding}
    return parse_cluster(values) if where == CLUSTER else None


def cluster_values(cluster: ClusterSpec | None) -> tuple[str, str, int, str]:
    """What the form shows of it."""
    known = cluster or ClusterSpec()
    return HERE if cluster is None else CLUSTER, known.address, known.workers, known.sharding
