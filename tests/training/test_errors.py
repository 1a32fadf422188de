"""Messages that name settings: by their own names here, by options where a command tells them."""

import pickle

from training.errors import CheckpointError, ConfigError


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def test_values_are_never_taken_for_names() -> None:
    error = ConfigError.naming("{policy} must be one of {}, not {!r}", "{lr}", "{seed} or {}")
    assert str(error) == "policy must be one of {lr}, not '{seed} or {}'"
    assert error.told(option) == "--policy must be one of {lr}, not '{seed} or {}'"


def test_a_plain_message_stays_as_it_is() -> None:
    assert ConfigError("lr {lr}").told(option) == "lr {lr}"


def test_an_error_within_another_names_its_settings_too() -> None:
    inner = ConfigError.naming("give {num_train}, not {}", 3)
    error = CheckpointError.naming("{}: {}", "a.pt", inner)
    assert (str(error), error.told(option)) == (
        "a.pt: give num_train, not 3",
        "a.pt: give --num-train, not 3",
    )


def test_names_outlive_another_process() -> None:
    error = pickle.loads(pickle.dumps(ConfigError.naming("{lr} must be > 0, not {}", -1.0)))
    assert error.told(option) == "--lr must be > 0, not -1.0"
