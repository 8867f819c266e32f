"""What a mix is made of, and how a control is matched to a choice."""

from typing import Literal

from pydantic import Field, model_validator

from medtune.config import Config, Input

Aspect = Literal["length", "source"]
"""In what a control is like the choice."""
Format = Literal["sharegpt", "alpaca", "messages"]


class MixSet(Config):
    """One of the sets that a mix is made of."""

    pool: tuple[Input, ...] = Field(min_length=1)
    """Files of records. A record that stands in an earlier set too belongs to that one."""
    share: float | None = Field(default=None, gt=0)
    """Its part of the budget, beside the shares of the other sets: 0.7 and 0.3, or 7 and 3."""
    draw: Literal["random", "in_order", "all"] = "random"
    """`random`; `in_order`, the files from their beginning; or `all`: every record, which leaves the rest of
    the budget to the other sets."""
    if_short: Literal["fail", "take_less", "repeat"] = "fail"
    """What a set that cannot fill its part does: fail, give all it has and no more, or give its records again
    (each as often as any other, but for one)."""

    @model_validator(mode="after")
    def _has_a_share_unless_it_is_taken_whole(self) -> "MixSet":
        if self.draw == "all" and (self.share is not None or self.if_short != "fail"):
            name = "share" if self.share is not None else "if_short"
            raise ValueError(f"{name} has no effect: draw all takes every record once; leave it out")
        if self.draw != "all" and self.share is None:
            raise ValueError("share must be given, or draw=all")
        return self
