"""The one error that a user can mend, and the check for optional parts."""

from importlib.util import find_spec


class UserError(Exception):
    """Something the user can mend: the message says what, where and what to do.

    It is printed without a traceback, and the process ends with 2.
    """


def require(extra: str, *modules: str) -> None:
    """Nothing, or a UserError naming the extra to install when one of `modules` is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} is not installed: run  pip install 'medtune[{extra}]'")
