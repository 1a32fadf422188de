"""The value of `--policy`: a built-in policy's name, or a file with a table."""

from pathlib import Path
from typing import Any

from mdl.terminal.errors import OptionError
from training.spec.built_in_policies import BUILT_IN_POLICIES
from training.spec.policy_table import read_policy_table
from training.spec.recipes import NO_POLICY


def read_policy(policy: str | None) -> dict[str, Any]:
    """What `--policy` gives to `recipe_config`: a name, or a file's name and its contents.

    Raises:
        OptionError: Neither a name nor a file that holds a table.
    """
    if policy is None or policy in (NO_POLICY, *BUILT_IN_POLICIES):
        return {"policy": policy}
    path = Path(policy)
    if not path.is_file():
        names = ", ".join((NO_POLICY, *BUILT_IN_POLICIES))
        raise OptionError(f"--policy {policy} is not a file; give a JSON table, or one of {names}")
    try:
        return {"policy": path.name, "policy_table": read_policy_table(path)}
    except ValueError as error:
        raise OptionError(f"--policy {error}") from error
    except OSError as error:
        raise OptionError(f"--policy {policy} cannot be read: {error.strerror}") from error
