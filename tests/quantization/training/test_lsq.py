"""Learned step sizes: the formula of the papers, and finite differences of what they differentiate."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.packing import Packing
from intbert.quantization.training.grid import Grid, least_squares_step
from intbert.quantization.training.lsq import gradient_scale, initial_step, learned_clip, learned_step
from intbert.quantization.training.mkq_scale import least_squares_scale

GRIDS = [
    pytest.param(Grid.of_packing(Packing(2, mid_rise=True)), id="2 bits mid-rise"),
    pytest.param(Grid.of_packing(Packing(3)), id="3 bits"),
    pytest.param(Grid.of_packing(None), id="8 bits"),
    pytest.param(Grid.of_activation(4), id="4-bit activation"),
    pytest.param(Grid.of_activation(4, zero_point=-6), id="4-bit activation with a zero point"),
]


def _values(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_step_has_the_gradient_of_the_paper(grid: Grid) -> None:
    values, upstream = _values(6, 50).requires_grad_(), _values(6, 50, seed=1)
    step = torch.tensor(1.7 / grid.high, dtype=torch.float64, requires_grad=True)
    learned_step(values, step, grid).backward(upstream)

    expected = 0.0
    passes = torch.zeros_like(values)
    for row in range(6):
        for column in range(50):
            quotient = values[row, column].item() / step.item()
            if quotient < grid.low:
                derivative = grid.low
            elif quotient > grid.high:
                derivative = grid.high
            else:
                code = round((quotient - grid.low) / grid.stride)
                derivative = grid.low + code * grid.stride - quotient
                passes[row, column] = 1
            expected += derivative * upstream[row, column].item()
    assert step.grad is not None
    assert values.grad is not None
    assert step.grad.item() == pytest.approx(expected / math.sqrt(300 * grid.high), rel=1e-9)
    assert torch.equal(values.grad, upstream * passes)
    assert 0 < passes.sum() < 300


@pytest.mark.parametrize("grid", GRIDS)
def test_a_step_a_row_has_the_gradient_of_its_row(grid: Grid) -> None:
    values = _values(5, 40)
    steps = (0.5 + torch.arange(5, dtype=torch.float64)[:, None]) / grid.high
    steps.requires_grad_()
    learned_step(values, steps, grid).sum().backward()
    assert steps.grad is not None
    assert steps.grad.shape == (5, 1)
    for row in range(5):
        step = steps[row, 0].detach().clone().requires_grad_()
        learned_step(values[row], step, grid).sum().backward()
        assert step.grad is not None
        assert steps.grad[row].item() == pytest.approx(step.grad.item(), rel=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
def test_only_what_is_clamped_moves_a_clip(grid: Grid) -> None:
    values = _values(300)
    step = torch.tensor(1.5 / grid.high, dtype=torch.float64, requires_grad=True)
    clipped = learned_clip(values, step, grid)
    assert torch.equal(clipped, learned_step(values, step, grid))
    clipped.sum().backward()
    above, below = (values > step * grid.high).sum().item(), (values < step * grid.low).sum().item()
    assert above > 0
    assert step.grad is not None
    expected = (above * grid.high + below * grid.low) * gradient_scale(300, grid)
    assert step.grad.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_gradient_is_the_finite_difference_with_the_rounding_error_held(grid: Grid) -> None:
    values, step, distance = _values(200), 1.5 / grid.high, 1e-7
    quotient = values / step
    held = grid.round(quotient.clamp(grid.low, grid.high)) - quotient.clamp(grid.low, grid.high)

    def surrogate(candidate: float) -> float:
        return (((values / candidate).clamp(grid.low, grid.high) + held) * candidate).sum().item()

    learned = torch.tensor(step, dtype=torch.float64, requires_grad=True)
    learned_step(values, learned, grid).sum().backward()
    difference = (surrogate(step + distance) - surrogate(step - distance)) / (2 * distance)
    assert learned.grad is not None
    assert learned.grad.item() == pytest.approx(difference * gradient_scale(200, grid), rel=1e-4)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_least_squares_gradient_is_the_finite_difference_of_the_error(grid: Grid) -> None:
    values, distance = _values(200), 1e-7
    step = torch.tensor(1.5 / grid.high, dtype=torch.float64, requires_grad=True)
    (least_squares_scale(values, step, grid) * 1e6).sum().backward()  # whatever arrives

    def error(candidate: float) -> float:
        return (grid.round(values / candidate) * candidate - values).square().mean().item()

    difference = (error(step.item() + distance) - error(step.item() - distance)) / (2 * distance)
    assert step.grad is not None
    assert step.grad.item() == pytest.approx(difference, rel=1e-4)


def test_initial_steps_are_those_of_the_papers() -> None:
    values = torch.tensor([-2.0, 1.0, 3.0])
    assert initial_step(values, Grid.of_activation(4)).item() == pytest.approx(2 * 2 / math.sqrt(7))
    assert initial_step(values, Grid(0, 15)).item() == pytest.approx(4 * 2 / math.sqrt(15))
    assert initial_step(torch.zeros(3), Grid.of_activation(4)).item() > 0


@settings(max_examples=50, deadline=None)
@given(bits=st.integers(2, 8), seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_the_searched_step_is_no_worse_than_the_whole_range(bits: int, seed: int, scale: float) -> None:
    grid = Grid.of_activation(bits)
    values = _values(3, 30, seed=seed) * scale
    steps = least_squares_step(values, grid, per_row=True)
    assert steps.shape == (3, 1)
    for row, step in zip(values, steps, strict=True):
        whole = row.abs().max() / grid.high
        errors = [(grid.round(row / s) * s - row).square().sum() for s in (step, whole)]
        assert errors[0] <= errors[1]


def test_tensors_of_zeros_have_a_step() -> None:
    grid = Grid.of_activation(4)
    assert least_squares_step(torch.zeros(2, 3), grid).item() > 0
    assert torch.equal(learned_step(torch.zeros(2, 3), torch.tensor(0.1), grid), torch.zeros(2, 3))
