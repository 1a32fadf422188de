"""Entry point of `mdl` and of `python -m mdl`."""

from mdl.cli import run


def main() -> None:
    """Run the command line."""
    run()


if __name__ == "__main__":
    main()
