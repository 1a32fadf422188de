"""Text from files and other people, made fit for a terminal: nothing in it can move the cursor.

Names in a file are a stranger's. Written raw, a control character could colour, hide or overwrite
what stands around it; a bidirectional mark turns the order of what follows; a zero-width character
makes two names look the same; half of a surrogate pair cannot be written at all.
"""

import re

MAX_NAME = 60
"""Characters of a name in a message."""

# What `str.isprintable` lets pass although nothing is drawn for it: Unicode's default ignorable
# characters outside of the categories that it refuses, and the blank of Braille.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def printable(text: str, limit: int | None = None) -> str:
    r"""A text on one line as a terminal can show it: what cannot be seen is escaped, as by `repr`.

    Backslashes stay as they are, so that a text made printable twice is that made so once.

    Args:
        text: Any text, with characters that cannot even be encoded.
        limit: Characters after which it is cut off, with three dots; None for all of it.

    >>> printable("a.weight"), printable("x" * 1000, 5), printable("\x1b[2J\u202eb\ud800\n")
    ('a.weight', 'xxxxx...', '\\x1b[2J\\u202eb\\ud800\\n')
    """
    if limit is not None and len(text) > limit:
        text = text[:limit] + "..."
    if not text.isprintable():
        text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return _INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], text)


def shorten(name: str) -> str:
    """A name from a file in quotes, on one line and not too long, for messages.

    >>> shorten("a.weight"), shorten("x" * 1000) == repr("x" * 60 + "...")
    ("'a.weight'", True)
    """
    return printable(repr(name if len(name) <= MAX_NAME else name[:MAX_NAME] + "..."))
