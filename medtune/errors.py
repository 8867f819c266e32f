"""How work ends that did not end well, and the check for optional parts."""

from importlib.util import find_spec
from typing import ClassVar


class UserError(Exception):
    """Something the user can mend: the message says what, where and what to do.

    It is printed without a traceback, and the process ends with 2.
    """

    exit_code: ClassVar[int] = 2


class Diverged(UserError):
    """Training that gave numbers which are none; the process ends with 3, so that nobody starts it again."""

    exit_code: ClassVar[int] = 3


class Interrupted(BaseException):
    """Work that was stopped from outside and can be resumed; the process ends with 75, as EX_TEMPFAIL.

    Like KeyboardInterrupt it is no Exception: what mends errors must not swallow it.
    """

    exit_code: ClassVar[int] = 75


def require(extra: str, *modules: str) -> None:
    """Nothing, or a UserError naming the extra to install when one of `modules` is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} is not installed: run  pip install 'medtune[{extra}]'")
