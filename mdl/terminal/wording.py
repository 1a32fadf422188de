"""Numbers in words. No torch."""


def epochs_text(number: int) -> str:
    """A number of epochs in words.

    >>> epochs_text(1), epochs_text(4000)
    ('1 epoch', '4,000 epochs')
    """
    return f"{number:,} epoch{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time to wait, rounded as one would say it.

    >>> duration(42), duration(145), duration(2400), duration(100_000)
    ('42 s', '145 s', '40 min', '27.8 h')
    """
    if seconds < 180:
        return f"{seconds:.0f} s"
    if seconds < 3 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
