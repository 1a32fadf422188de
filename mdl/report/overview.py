"""The top of the page: a card a run with what it came to, then all settings and what differs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.bounds.bounds import percent_up
from analysis.describe.bound_report import BoundReport
from mdl.report.markup import Markup, chip, details, element, table
from mdl.report.measurements import MeasuredRun
from mdl.report.run_files import ReportedRun
from mdl.terminal.bound_tables import guessing_remark, is_vacuous
from training.system.text import printable

METHODS = {"beta-lasso": "β-lasso", "sgd": "SGD"}
WIDTHS = {"base_channels": "α", "hidden_units": "h", "kernel_size": "kernel"}
_MINUTE, _HOUR = 60, 3600
_NAMES = {
    "base_channels": "α, base channels",
    "hidden_units": "h, hidden units",
    "kernel_size": "kernel size",
    "lr": "η, learning rate",
    "l1_conv": "λ of conv-like layers",
    "l1_fc": "λ of fc layers",
    "beta": "β",
    "data.source": "data",
    "data.seed": "data seed",
    "augmentation.policy_table": "policy table",
}
_LAST = ("data", "augmentation")
_MISSING = "–"


def draw_overview(runs: Sequence[MeasuredRun]) -> Markup:
    """A card a run."""
    return element("div", (_card(style, run) for style, run in enumerate(runs)), class_="runs")


def _card(style: int, measured: MeasuredRun) -> Markup:
    run = measured.run
    best = final_accuracy(run, "test") or described_accuracy(measured)
    best = best or final_accuracy(run, "validation")
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
        else element("p", element("strong", f"{best[0]:.2%}"), f" {best[1]}", class_="hero"),
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


def described_accuracy(measured: MeasuredRun) -> tuple[float, str] | None:
    """Test accuracy of the described network, where its errors were counted, and what it is."""
    report = None if measured.bits is None else measured.bits.report
    if report is None or report.test is None:
        return None
    return 1 - report.test.error, "test accuracy, described network"


def _facts(measured: MeasuredRun) -> list[tuple[str, str]]:
    run, facts = measured.run, []
    trained = final_accuracy(run, "train")
    if trained is not None:
        facts.append((trained[1], f"{trained[0]:.2%}"))
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
    if is_vacuous(report.bound.value):
        return "vacuous: proves nothing"
    if remark := guessing_remark(report.bound.value, report.spec.num_classes):
        return f"{percent_up(report.bound.value)}, {remark}"
    return f"<= {percent_up(report.bound.value)} (probability {1 - report.delta:.4g})"


def duration(seconds: float) -> str:
    """For people.

    >>> duration(2.345), duration(100), duration(4000)
    ('2.3 s', '1 min 40 s', '1 h 7 min')
    """
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{minutes} min {rest} s"
    hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours:,} h {rest} min"


def summarize_run(measured: MeasuredRun) -> dict[str, Any]:
    """Primitives. Errors and accuracies are fractions, lengths are bits; None is not measured."""
    run, bits, filters = measured.run, measured.bits, measured.filters
    checkpoint = run.checkpoint
    last = run.points[-1] if run.points else None
    report = None if bits is None else bits.report
    return {
        "run": str(run.path),
        "name": run.name,
        "finished": run.is_finished,
        "epochs_done": None if last is None else last.epoch,
        "network": None if checkpoint is None else checkpoint.network.name,
        "num_weights": None if checkpoint is None else checkpoint.network.num_weights,
        "num_nonzeros": None if checkpoint is None else sum(checkpoint.num_nonzeros.values()),
        "test_accuracy": _last(measured, "test_accuracy"),
        "validation_accuracy": _last(measured, "validation_accuracy"),
        "seconds": None if last is None else last.seconds,
        "filter_ratio": None if filters is None else filters.summary.ratio,
        "code": None if bits is None else bits.codeword.code,
        "description_bits": None if bits is None else bits.codeword.num_bits,
        "bound": None if report is None else report.bound.value,
        "missing": [text for text in (measured.no_filters, bits.missing if bits else "") if text],
    }


def _last(measured: MeasuredRun, field: str) -> float | None:
    found = [getattr(point, field) for point in measured.run.points]
    values: list[float] = [value for value in found if value is not None]
    return values[-1] if values else None


def draw_settings(runs: Sequence[ReportedRun]) -> Markup:
    """One run: all settings. Several: a table of those that differ, and all on request."""
    runs = [run for run in runs if run.config]  # a compressed network has none
    rows = setting_rows([run.config for run in runs])
    versions = setting_rows([run.versions for run in runs])
    if not rows:
        return element("p", "The configuration is not known.")
    if len(runs) == 1:
        return element("div", _pairs(rows), details("Versions and machine", _pairs(versions)))
    columns = ("setting", *(run.name for run in runs))
    unlike = [row for row in rows if _differs(row)]
    num_other = sum(_differs(row) for row in versions)
    other = f"Versions and machine ({num_other} differ)" if num_other else "Versions and machine"
    summary = f"{len(unlike)} of {len(rows)} settings differ." if unlike else "No setting differs."
    return element(
        "div",
        element("p", summary, class_="note"),
        _comparison(columns, unlike, "Settings that differ") if unlike else None,
        details("All settings", _comparison(columns, rows, "All settings")),
        details(other, _comparison(columns, versions, "Versions and machine")),
    )


def setting_rows(configs: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row a setting that any run has: its name, then its value in each run.

    >>> setting_rows([{"lr": 0.1, "data": {"crop": None}}, {"data": {"crop": 4}}])
    [('η, learning rate', '0.1', '–'), ('crop', '–', '4')]
    """
    flat = [_flatten(config) for config in configs]
    names = dict.fromkeys(name for each in flat for name in each)
    rows = []
    for name in names:
        values = tuple(_value(each.get(name)) for each in flat)
        if any(value != _MISSING for value in values):
            rows.append((_label(name), *values))
    return rows


def _flatten(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of the groups data and augmentation get the group's name before theirs."""
    flat = {name: value for name, value in config.items() if name not in _LAST}
    for group in _LAST:
        inner = config.get(group)
        if isinstance(inner, dict):
            flat |= {f"{group}.{name}": value for name, value in inner.items()}
        elif inner is not None:
            flat[group] = inner
    return {str(name): value for name, value in flat.items()}


def _label(name: str) -> str:
    plain = name.rpartition(".")[2] if name.partition(".")[0] in _LAST else name
    return _NAMES.get(name) or printable(plain.replace("_", " "))


def _value(value: object) -> str:
    if value is None:
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str | int):
        return printable(str(value))
    return printable(json.dumps(value, default=str, ensure_ascii=False))


def _differs(row: Sequence[str]) -> bool:
    return len(set(row[1:])) > 1


def _pairs(rows: Sequence[Sequence[str]]) -> Markup:
    return element(
        "dl",
        (element("div", element("dt", name), element("dd", value)) for name, value in rows),
        class_="settings",
    )


def _comparison(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> Markup:
    """Rows that differ are marked, by a sign too for those who do not see the colour."""
    marked = [place for place, row in enumerate(rows) if _differs(row)]
    signed = [(f"≠ {row[0]}" if _differs(row) else row[0], *row[1:]) for row in rows]
    return table(columns, signed, title=title, num_text_columns=len(columns), marked=marked)
