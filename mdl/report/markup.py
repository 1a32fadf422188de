"""HTML that cannot be broken by a string from a file: every text is escaped as it goes in.

A checkpoint is data from a stranger, and its strings can hold `<script>`. So markup is built by
`element` alone, which escapes every child and attribute that is not `Markup` already.
"""

import html
import re
from collections.abc import Iterable

Value = str | int | float | bool | None

_VOID = frozenset({"br", "img", "link", "meta"})
# What a page may not hold (control characters, half pairs), and what turns the reading direction.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


class Markup(str):
    """Finished HTML: made by `element`, or written in this package."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Text as HTML, for content and for attributes between double quotes.

    >>> escape('<b>"&"</b>')
    '&lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;'
    >>> escape("a" + chr(0xD800) + chr(0x202E))
    'a\ufffd\ufffd'
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True))


def join(children: Iterable[str | Markup]) -> Markup:
    """Several pieces one after another, each escaped if it is text."""
    return Markup("".join(escape(child) for child in children))


def element(tag: str, *children: str | Iterable[str] | None, **attributes: Value) -> Markup:
    r"""An element of HTML or SVG.

    Args:
        tag: Its name.
        children: Text (escaped), markup (as it is), several of them, or None for nothing.
        attributes: `class_` is `class`, `data_x` is `data-x`. None and False leave one out, True
            gives it no value; numbers are canonical.

    >>> element("p", "1 < 2", class_="note", hidden=True, id=None)
    '<p class="note" hidden>1 &lt; 2</p>'
    >>> element("img", alt='a "b"', width=2.50)
    '<img alt="a &quot;b&quot;" width="2.5">'
    """
    opening = tag
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        opening += f" {name.rstrip('_').replace('_', '-')}"
        if value is not True:
            opening += f'="{escape(number(value) if isinstance(value, float) else str(value))}"'
    if tag in _VOID:
        return Markup(f"<{opening}>")
    inner = "".join(
        escape(child) if isinstance(child, str) else join(child)
        for child in children
        if child is not None
    )
    return Markup(f"<{opening}>{inner}</{tag}>")


def number(value: float) -> str:
    """A coordinate to two decimals, without zeros that say nothing.

    >>> number(2.0), number(-0.001), number(10.456)
    ('2', '0', '10.46')
    """
    shown = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown
