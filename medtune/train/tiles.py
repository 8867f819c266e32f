"""The summed loss of tokens from their hidden states, never with more than a tile of vocabulary scores."""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

TILE_SCORES = 40_000_000
"""Scores in a tile: about 260 tokens of a vocabulary of 152,000. Smaller ones make the gradient of the output
layer, which is as large as the layer, be read and written more often."""


class _SummedLoss(torch.autograd.Function):
    """Σ wᵢ·lossᵢ. Its gradients are made with it, while a tile's scores are still there.

    Plain autograd keeps the scores of all tokens and makes as large tensors for their logarithms and for
    their gradients: at a large vocabulary that is most of a step's memory, and fetching it from the system
    is a good part of its time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None,
        dtype: torch.dtype,
        is_learning: bool,
    ) -> torch.Tensor:
        wants_hidden, wants_weight = (is_learning and wanted for wanted in ctx.needs_input_grad[:2])
        layer, rows = weight.to(dtype), hidden.to(dtype)
        to_hidden = torch.empty_like(rows) if wants_hidden else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        size = max(1, TILE_SCORES // len(weight))
        shape = (min(size, len(rows)), len(weight))
        scores, shares = rows.new_empty(shape), rows.new_empty(shape, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32)
        for start in range(0, len(rows), size):
            tile, wanted = rows[start : start + size], targets[start : start + size, None]
            count = len(tile)
            torch.mm(tile, layer.T, out=scores[:count])
            torch.softmax(scores[:count], dim=-1, dtype=torch.float32, out=shares[:count])
            # The largest share is never too small for its logarithm; the target's may be.
            norms = scores[:count].amax(dim=-1, keepdim=True).float()
            norms -= shares[:count].amax(dim=-1, keepdim=True).log()
            losses = norms - scores[:count].gather(1, wanted).float()
            own = None if weights is None else weights[start : start + size, None].float()
            total += losses.sum() if own is None else (losses * own).sum()
            if to_hidden is None and to_weight is None:
                continue
            shares[:count].scatter_add_(1, wanted, torch.full(wanted.shape, -1.0))
            if own is not None:
                shares[:count] *= own
            slopes = shares[:count].to(dtype)
            if to_hidden is not None:
                torch.mm(slopes, layer, out=to_hidden[start : start + count])
            if to_weight is not None:
                if dtype == torch.float32:
                    to_weight.addmm_(slopes.T, tile)
                else:
                    to_weight += slopes.T @ tile
        ctx.gradients = (
            None if to_hidden is None else to_hidden.to(hidden.dtype),
            None if to_weight is None else to_weight.to(weight.dtype),
        )
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: torch.Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        to_hidden, to_weight = ctx.gradients
        del ctx.gradients  # autograd adds to a gradient in place where nobody else holds it
        for gradient in (to_hidden, to_weight):
            if gradient is not None:
                gradient.mul_(slopes[0])
        return to_hidden, to_weight, None, None, None, None


def can_tile(head: torch.nn.Module) -> bool:
    """Whether this output layer is a plain one on the CPU, which tiles know: not an adapter's, no bias."""
    is_plain = type(head) is torch.nn.Linear and [name for name, _ in head.named_parameters()] == ["weight"]
    return is_plain and head.weight.device.type == "cpu"


def summed_loss(
    hidden: torch.Tensor,
    head: torch.nn.Module,
    *,
    targets: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The cross-entropies of tokens summed, each times its weight where there are weights.

    `hidden` (tokens, width) is what the output layer scores the vocabulary by, `targets` and `weights`
    (tokens,) what came and how much it counts. Computed in autocast's number format where that is on.
    """
    is_cast = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if is_cast else hidden.dtype
    with torch.autocast("cpu", enabled=False):
        loss: torch.Tensor = _SummedLoss.apply(  # type: ignore[assignment]
            hidden, head.weight, targets, weights, dtype, torch.is_grad_enabled()
        )
    return loss
