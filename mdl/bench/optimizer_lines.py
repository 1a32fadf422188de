"""The optimizer's step on one large weight, against a copy of the bytes that it must move."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mdl.bench.lines import Baseline, Line
from mdl.bench.naive import NAIVE_FORMS
from mdl.bench.settings import BenchSettings
from mdl.timing.floors import make_copy
from mdl.timing.rounds import Piece, Timing, time_rounds
from training.optim.beta_lasso import BetaLasso, beta_lasso_reference_step
from training.optim.fused_step import backend_name
from training.optim.sgd import MomentumSgd

BETA_LASSO_BYTES = 12
"""Bytes a weight that β-lasso moves: read 4 + 4 and write 4 in float32; with a bfloat16 gradient
and working copy read 4 + 2 and write 4 + 2."""
SGD_BYTES = 20
"""The same for SGD with momentum, which reads and writes 4 more."""

_LR, _L1_COEF, _BETA = 0.1, 1e-5, 50.0
_DENSITY = 0.5
_COPY, _PIECE = "copy", "piece"
_KINDS = {True: "bf16 gradient and working copy", False: "fp32"}


def measure_optimizers(settings: BenchSettings) -> list[Line]:
    """β-lasso in each arithmetic that the bench has, and SGD with momentum in training's.

    Half of the weights are zero and stay it: the gradients are too small to lift one.
    """
    low_precision = settings.precision == "bf16"
    lines = [_measure_beta_lasso(settings, low_precision=True)] if low_precision else []
    return [
        *lines,
        _measure_beta_lasso(settings, low_precision=False),
        _measure_sgd(settings, low_precision=low_precision),
    ]


def _measure_beta_lasso(settings: BenchSettings, *, low_precision: bool) -> Line:
    weight, gradient = _make_weight(settings, low_precision=low_precision)
    same = _compare_supports(weight.detach(), gradient, low_precision=low_precision)
    optimizer = BetaLasso([weight], lr=_LR, l1_coef=_L1_COEF, beta=_BETA)
    _give_gradient(optimizer, weight, gradient, low_precision=low_precision)
    pieces: dict[str, Callable[[], object] | Piece] = {_PIECE: optimizer.step}
    plain = weight.detach().clone()
    plain.grad = gradient.to(weight.dtype)  # Public code holds all in float32.
    for name, take_step in NAIVE_FORMS.items():
        run = partial(take_step, [plain], lr=_LR, l1_coef=_L1_COEF, threshold=_BETA * _L1_COEF)
        pieces[name] = Piece(run=run, is_naive=True)
    kind = _KINDS[low_precision]
    return _time(settings, f"β-lasso, {kind}", pieces, BETA_LASSO_BYTES, same)


def _measure_sgd(settings: BenchSettings, *, low_precision: bool) -> Line:
    weight, gradient = _make_weight(settings, low_precision=low_precision)
    values: dict[str, Any] = {"lr": _LR, "momentum": 0.9, "weight_decay": 5e-4}
    optimizer = MomentumSgd([weight], **values)
    _give_gradient(optimizer, weight, gradient, low_precision=low_precision)
    pieces: dict[str, Callable[[], object] | Piece] = {_PIECE: optimizer.step}
    for form, choice in (("", {"foreach": False}), (" fused", {"fused": True})):
        plain = weight.detach().clone()
        plain.grad = gradient.to(weight.dtype)
        naive = torch.optim.SGD([plain], **choice, **values)
        pieces[f"torch.optim.SGD{form}, fp32"] = Piece(run=naive.step, is_naive=True)
    return _time(settings, f"SGD with momentum, {_KINDS[low_precision]}", pieces, SGD_BYTES, {})


def _time(
    settings: BenchSettings,
    name: str,
    pieces: Mapping[str, Callable[[], object] | Piece],
    bytes_per_weight: int,
    facts: dict[str, Any],
) -> Line:
    num_bytes = bytes_per_weight * settings.num_weights
    copy = make_copy(num_bytes, settings.device)
    timings = time_rounds({_COPY: copy, **pieces}, settings.pace)
    floor = timings.pop(_COPY)
    piece: Timing = timings.pop(_PIECE)
    return Line(
        piece=name,
        amount=settings.num_weights,
        unit="weights",
        timing=piece,
        floor=f"copy that moves {bytes_per_weight} bytes a weight",
        floor_s=floor.median,
        baselines=tuple(Baseline(name=name, timing=timing) for name, timing in timings.items()),
        facts=facts
        | {
            "backend": backend_name(settings.device),
            "copy_bytes_per_second": num_bytes / floor.median,
        },
    )


def _make_weight(
    settings: BenchSettings, *, low_precision: bool
) -> tuple[torch.nn.Parameter, Tensor]:
    device, num = settings.device, settings.num_weights
    generator = torch.Generator(device).manual_seed(0)
    weight = torch.randn(num, generator=generator, device=device) * 0.01
    weight *= torch.rand(num, generator=generator, device=device) < _DENSITY
    gradient = torch.randn(num, generator=generator, device=device) * 1e-4
    return torch.nn.Parameter(weight), gradient.to(torch.bfloat16) if low_precision else gradient


def _give_gradient(
    optimizer: BetaLasso | MomentumSgd,
    weight: torch.nn.Parameter,
    gradient: Tensor,
    *,
    low_precision: bool,
) -> None:
    if low_precision:
        optimizer.attach_working_copies([weight])
        optimizer.working_copies[weight].grad = gradient
    else:
        weight.grad = gradient


def _compare_supports(weight: Tensor, gradient: Tensor, *, low_precision: bool) -> dict[str, bool]:
    """One step of ours beside the reference: whether the same weights, and values, are left."""
    stepped = torch.nn.Parameter(weight.clone())
    optimizer = BetaLasso([stepped], lr=_LR, l1_coef=_L1_COEF, beta=_BETA)
    _give_gradient(optimizer, stepped, gradient, low_precision=low_precision)
    optimizer.step()
    expected = beta_lasso_reference_step(weight, gradient, lr=_LR, l1_coef=_L1_COEF, beta=_BETA)
    found = stepped.detach()
    return {
        "support_is_the_reference's": bool(torch.equal(found != 0, expected != 0)),
        "bits_are_the_reference's": bool(torch.equal(found, expected)),
    }
