"""Numbers in words. No torch."""


def epochs_text(number: int) -> str:
    """A number of epochs in words.

    >>> epochs_text(1), epochs_text(4000)
    ('1 epoch', '4,000 epochs')
    """
    return f"{number:,} epoch{'' if number == 1 else 's'}"
