"""How work ends that did not end well, and the check for optional parts."""

import warnings
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


class Advice(UserWarning):
    """What the user of a run would not want, with the way out; it is told and the run goes on."""


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


def show_advice() -> None:
    """Nothing; from now on a warning that is an Advice is shown as its words alone.

    What libraries tell developers is no news to a user, and not shown.
    """
    warnings.simplefilter("ignore", FutureWarning)
    warnings.formatwarning = _format


def _format(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    if issubclass(category, Advice):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
