"""What is wrong with the values of options, where a command finds it out itself."""


class OptionError(ValueError):
    """Wrong usage: names the option, the rule and the way out. The exit code is 2."""
