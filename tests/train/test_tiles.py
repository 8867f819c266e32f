"""The loss by tiles of vocabulary scores: the plain loss, its gradients, in every number format."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch.nn.functional import cross_entropy

from medtune.train import tiles
from medtune.train.tiles import can_tile, summed_loss

WIDTH, VOCAB, TOKENS = 16, 101, 23


@pytest.fixture(params=[1, 5, 23, 1000])
def rows_of_a_tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(tiles, "TILE_SCORES", request.param * VOCAB)
    yield request.param


def make(scale: float = 4.0) -> tuple[torch.Tensor, torch.nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    head = torch.nn.Linear(WIDTH, VOCAB, bias=False)
    hidden = (torch.randn(TOKENS, WIDTH) * scale).requires_grad_()
    return hidden, head, torch.randint(0, VOCAB, (TOKENS,))


def plain(
    hidden: torch.Tensor, head: torch.nn.Module, targets: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    losses = cross_entropy(head(hidden).float(), targets, reduction="none")
    return (losses if weights is None else losses * weights).sum()


@pytest.mark.parametrize("is_weighted", [False, True])
def test_loss_and_gradients_are_the_plain_ones(rows_of_a_tile: int, is_weighted: bool) -> None:
    hidden, head, targets = make()
    weights = torch.rand(TOKENS) if is_weighted else None
    tiled = summed_loss(hidden, head, targets=targets, weights=weights) / 7
    expected = plain(hidden, head, targets, weights) / 7
    torch.testing.assert_close(tiled, expected)
    leaves = (hidden, head.weight)
    torch.testing.assert_close(torch.autograd.grad(tiled, leaves), torch.autograd.grad(expected, leaves))


def test_bfloat16_of_autocast_is_as_near_to_the_truth_as_the_plain_loss(rows_of_a_tile: int) -> None:
    hidden, head, targets = make()
    truth = torch.autograd.grad(plain(hidden, head, targets, None), (hidden, head.weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tiled = summed_loss(hidden, head, targets=targets)
        rounded = plain(hidden, head, targets, None)
    assert tiled.dtype == torch.float32
    torch.testing.assert_close(tiled, rounded, rtol=1e-4, atol=0)
    leaves = (hidden, head.weight)
    ours, theirs = (torch.autograd.grad(loss, leaves) for loss in (tiled, rounded))
    for true, own, other in zip(truth, ours, theirs, strict=True):
        assert float((own - true).norm()) < 1.5 * float((other - true).norm())


def test_a_frozen_output_layer_gets_no_gradient() -> None:
    hidden, head, targets = make()
    head.requires_grad_(False)
    summed_loss(hidden, head, targets=targets).backward()
    assert head.weight.grad is None
    assert hidden.grad is not None


def test_without_gradients_only_the_loss_is_made() -> None:
    hidden, head, targets = make()
    with torch.no_grad():
        loss = summed_loss(hidden, head, targets=targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, plain(hidden, head, targets, None).detach())


def test_a_target_whose_share_is_no_number_above_zero_has_a_finite_loss() -> None:
    hidden, head, targets = make(scale=4000.0)
    loss = summed_loss(hidden, head, targets=targets)
    assert math.isfinite(float(loss.detach()))
    torch.testing.assert_close(loss, plain(hidden, head, targets, None))


def test_a_loss_that_is_none_shows_itself() -> None:
    hidden, head, targets = make()
    with torch.no_grad():
        hidden[3] = math.nan
    assert math.isnan(float(summed_loss(hidden, head, targets=targets).detach()))


def test_no_tokens_make_a_loss_of_zero() -> None:
    hidden, head, targets = make()
    loss = summed_loss(hidden[:0], head, targets=targets[:0])
    loss.backward()
    assert float(loss.detach()) == 0
    assert head.weight.grad is not None and not head.weight.grad.any()


def test_a_layer_with_more_than_a_matrix_is_left_to_autograd() -> None:
    assert can_tile(torch.nn.Linear(4, 9, bias=False))
    assert not can_tile(torch.nn.Linear(4, 9))
    assert not can_tile(torch.nn.Sequential(torch.nn.Linear(4, 9, bias=False)))
