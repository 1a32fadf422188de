"""The top of the page: a card a run with what it came to."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.describe.bound_report import BoundReport
from mdl.report.axis import duration, percent
from mdl.report.marks import chip
from mdl.report.markup import Markup, element
from mdl.report.measurements import MeasuredRun
from mdl.report.run_files import ReportedRun
from mdl.terminal.bound_tables import percent_up

METHODS = {"beta-lasso": "β-lasso", "sgd": "SGD"}
WIDTHS = {"base_channels": "α", "hidden_units": "h", "kernel_size": "kernel"}


def draw_overview(runs: Sequence[MeasuredRun]) -> Markup:
    """A card a run."""
    return element("div", (_card(style, run) for style, run in enumerate(runs)), class_="runs")


def _card(style: int, measured: MeasuredRun) -> Markup:
    run = measured.run
    best = final_accuracy(run, "test") or final_accuracy(run, "validation")
    facts = [
        element("div", element("dt", name), element("dd", text)) for name, text in _facts(measured)
    ]
    return element(
        "article",
        element("h2", chip(style), run.name),
        element("p", describe_run(run), class_="about"),
        element("p", status(run), class_="badge" if run.is_finished else "badge open"),
        None
        if best is None
        else element("p", element("strong", percent(best[0])), f" {best[1]}", class_="hero"),
        element("dl", facts, class_="facts"),
        class_="card",
    )


def describe_run(run: ReportedRun) -> str:
    """Network, width, training method and data set in a few words."""
    checkpoint, config = run.checkpoint, run.config
    network = checkpoint.network.name if checkpoint else str(config.get("network", "unknown"))
    parts = [network]
    twin = None if checkpoint is None else checkpoint.metrics.get("embedded_from")
    if twin:
        parts[0] += f" (twin of {twin})"
    for field, letter in WIDTHS.items():
        width = getattr(checkpoint.network, field) if checkpoint else config.get(field)
        if width is not None:
            parts.append(f"{letter} = {width}")
    method = config.get("method")
    if method:
        parts.append(METHODS.get(str(method), str(method)))
    data = config.get("data")
    if checkpoint is not None and checkpoint.data is not None:
        parts.append(checkpoint.data.name)
    elif isinstance(data, dict) and data.get("source"):
        parts.append(str(data["source"]))
    return ", ".join(parts)


def status(run: ReportedRun) -> str:
    """Whether the run is at its end."""
    if run.is_finished:
        return "finished"
    done = run.points[-1].epoch if run.points else 0
    of = "" if run.num_epochs is None else f" of {run.num_epochs:,}"
    return f"not finished: epoch {done:,}{of}"


def final_accuracy(run: ReportedRun, split: str) -> tuple[float, str] | None:
    """The last accuracy known on "train", "validation" or "test" images, and what it is.

    Of a finished run it is that of the final network, counted without augmentation.
    """
    names = {"train": "training", "validation": "validation", "test": "test"}
    metrics: Mapping[str, Any] = {} if run.checkpoint is None else run.checkpoint.metrics
    count = "num_samples" if split == "train" else f"num_{split}"
    errors, images = metrics.get(f"{split}_errors"), metrics.get(count)
    if type(errors) is int and type(images) is int and 0 <= errors <= images and images:
        return 1 - errors / images, f"{names[split]} accuracy"
    field = f"{split}_accuracy"
    for point in reversed(run.points):
        value = getattr(point, field)
        if value is not None:
            note = ", with augmentation" if split == "train" else ""
            return value, f"{names[split]} accuracy at epoch {point.epoch:,}{note}"
    return None


def _facts(measured: MeasuredRun) -> list[tuple[str, str]]:
    run, facts = measured.run, []
    trained = final_accuracy(run, "train")
    if trained is not None:
        facts.append((trained[1], percent(trained[0])))
    weights = None
    if run.checkpoint is not None:
        weights = run.checkpoint.network.num_weights
        nonzeros = sum(run.checkpoint.num_nonzeros.values())
        facts.append(("nonzero weights", f"{nonzeros:,} of {weights:,} ({nonzeros / weights:.1%})"))
    if measured.bits is not None:
        codeword = measured.bits.codeword
        facts.append(("description", f"{codeword.num_bits:,} bits ({codeword.code} code)"))
        if measured.bits.report is not None:
            facts.append(("true error, bound", bound_text(measured.bits.report)))
    if measured.filters is not None:
        facts.append(("filter radius / chance", f"{measured.filters.summary.ratio:.2f}"))
    if run.points:
        facts.append(("training time", duration(run.points[-1].seconds)))
    return facts


def bound_text(report: BoundReport) -> str:
    """The bound to quote, or why there is none."""
    if any(finding.severity == "invalid" for finding in report.findings):
        return "no certificate"
    if report.bound.is_vacuous:
        return "vacuous"
    return f"≤ {percent_up(report.bound.value)} (probability {1 - report.delta:.4g})"
