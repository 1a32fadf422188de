"""The page as one file: sections, style and script within, and a policy that lets nothing else in.

The policy (Content-Security-Policy) allows the one style sheet and the one script by their hashes
and pictures by data URIs. So the browser itself makes no request and runs nothing that a file's
strings could smuggle in.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from mdl.report.bits import draw_bounds, draw_ledgers
from mdl.report.curves import draw_curves, draw_layers, draw_screened, draw_seconds
from mdl.report.filter_tiles import draw_filters
from mdl.report.markup import Markup, element
from mdl.report.measurements import MeasuredRun
from mdl.report.overview import describe_run, draw_overview, draw_settings
from training.run.provenance import collect_versions

_NAMED = 3  # runs whose names fit a heading


def write_page(
    runs: Sequence[MeasuredRun], title: str | None = None, about: str | None = None
) -> str:
    """The whole page.

    Args:
        runs: In the order of their colours.
        title: Its heading; the names of the runs if not given.
        about: What stands below the heading; which commands made the networks if not given.
    """
    heading = title or default_title(runs)
    version = collect_versions()["mdl"] or ""
    style, script = _resource("page.css"), _resource("page.js")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", heading),
        element("style", style),
    )
    sections = _sections(runs)
    links = (element("li", element("a", name, href=f"#{key}")) for key, name, _ in sections)
    body = element(
        "body",
        element(
            "header",
            element("h1", heading),
            element("p", about or _makers(runs), class_="sub"),
            element("nav", element("ul", links), aria_label="Sections"),
        ),
        element(
            "main",
            draw_overview(runs),
            (
                element("section", element("h2", name), content, id=key)
                for key, name, content in sections
            ),
        ),
        element(
            "footer", f"Written by mdl {version}. Everything is in this file; it makes no request."
        ),
        element("script", script),
    )
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def _makers(runs: Sequence[MeasuredRun]) -> str:
    """Which commands made the networks: only mdl train leaves a configuration."""
    others = sum(not run.run.config for run in runs)
    of = "mdl train" if not others else "mdl train and other commands" if len(runs) > others else ""
    if len(runs) == 1:
        return "A run of mdl train" if of else "A network"
    return f"{'Runs' if not others else 'Networks'}{f' of {of}' if of else ''}, side by side"


def default_title(runs: Sequence[MeasuredRun]) -> str:
    """The network of one run, the names of a few, the number of many."""
    if len(runs) == 1:
        return describe_run(runs[0].run)
    if len(runs) > _NAMED:
        return f"{len(runs)} runs"
    return ", ".join(run.run.name for run in runs)


def _sections(runs: Sequence[MeasuredRun]) -> list[tuple[str, str, Markup]]:
    """Anchor, heading and content of each section that has something to show."""
    plain = [run.run for run in runs]
    sections = [
        ("configuration", "Configuration", draw_settings(plain)),
        ("curves", "Loss and accuracy", draw_curves(plain)),
        ("nonzeros", "Nonzero weights by layer", draw_layers(plain)),
        ("filters", "First-layer filters", draw_filters(runs)),
        ("bits", "Where the bits go", draw_ledgers(runs)),
        ("bounds", "What the bits prove", draw_bounds(runs)),
        ("sparse", "Sparse training: rows in which no zero can come back", draw_screened(plain)),
        ("time", "Time", draw_seconds(plain)),
    ]
    return [(key, name, content) for key, name, content in sections if content is not None]


def _resource(name: str) -> Markup:
    """A file of this package, as it is: neither style nor script is escaped within its element."""
    return Markup(files("mdl.report").joinpath(name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
