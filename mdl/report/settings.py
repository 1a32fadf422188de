"""The section of the configuration: what differs between runs first, then every setting."""

import json
from collections.abc import Sequence
from typing import Any

from mdl.report.markup import Markup, element
from mdl.report.run_files import ReportedRun
from mdl.report.tables import details, table
from training.tensor_files.stored_tensor import printable

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


def draw_settings(runs: Sequence[ReportedRun]) -> Markup:
    """One run: all settings. Several: a table of those that differ, and all on request."""
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
