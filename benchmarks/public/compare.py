"""One model before and after `accelerate`: whether its numbers are the same, its times, the share of its GRU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import cgru.torch
from benchmarks.timing import ratios, round_robin

OURS, THEIRS = "after", "before"
UPDATES, RATE = 5, 0.01  # of plain gradient descent, after which the weights are compared


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    return dict(model.named_modules())


class Subject(NamedTuple):
    """A model at work.

    module: what is accelerated, and whose weights are trained. predict: the outputs for a batch, in evaluation.
    loss: that of a batch, in training. accelerate: what is done to the module. modules: its parts, by the names that
    `accelerate` gives them. method: that of a part which runs it.
    """

    module: Any
    predict: Callable[[], Any]
    loss: Callable[[], Tensor]
    accelerate: Callable[[Any], Any] = cgru.torch.accelerate
    modules: Callable[[Any], Mapping[str, Any]] = modules_by_name
    method: str = "forward"


def compared(build: Callable[[], Subject], seconds: float, optimizer: Callable[[Any], Any] | None = None) -> dict:
    """What a row of the table says of a model: `seconds` for each of its two works; a step takes Adam by default."""
    made = optimizer or torch.optim.Adam
    subjects = {}
    for name in (THEIRS, OURS):
        torch.manual_seed(0)
        subjects[name] = build()
    theirs, ours = subjects[THEIRS], subjects[OURS]
    for subject in subjects.values():
        predicted(subject)  # what is made at the first call
    with torch.no_grad():  # in order, since Keras numbers its layers on
        for mine, other in zip(*(each.module.state_dict().values() for each in (ours, theirs)), strict=True):
            mine.copy_(other)
    names = list(ours.modules(ours.module))
    changed = ours.accelerate(ours.module)
    places = [names.index(name) for name in outermost([*changed.swapped, *changed.left])]
    modules = list(theirs.modules(theirs.module).values())
    return {
        "kinds": {name: type(modules[names.index(name)]).__name__ for name in (*changed.swapped, *changed.left)},
        "swapped": list(changed.swapped),
        "left": {name: f"{why}" for name, why in dict(changed.left).items()},
        "difference": differences(theirs, ours),
        "training": timed(
            {name: update(subject, made) for name, subject in subjects.items()}, subjects, places, seconds
        ),
        "inference": timed({name: lambda s=s: predicted(s) for name, s in subjects.items()}, subjects, places, seconds),
    }


# --- equal numbers ---


def predicted(subject: Subject) -> list[Tensor]:
    """The outputs of a batch, in evaluation."""
    subject.module.eval()
    with torch.no_grad():
        return list(tensors(subject.predict()))


def update(subject: Subject, optimizer: Callable[[Any], Any]) -> Callable[[], None]:
    """A training step, with what the optimizer is given the weights for."""
    made = optimizer(trained(subject))

    def step() -> None:
        subject.module.train()
        made.zero_grad()
        subject.loss().backward()
        made.step()

    return step


def trained(subject: Subject) -> list[Tensor]:
    return [p for p in subject.module.parameters() if p.requires_grad]


class Descent:
    """Plain gradient descent, which does not make noise of gradients of zero as Adam does."""

    def __init__(self, weights: list[Tensor]) -> None:
        self.weights = weights

    def zero_grad(self) -> None:
        for p in self.weights:
            p.grad = None

    def step(self) -> None:
        with torch.no_grad():
            for p in self.weights:
                if p.grad is not None:
                    p -= RATE * p.grad


def differences(theirs: Subject, ours: Subject) -> dict[str, float]:
    """Those of the outputs, of the gradients, and of the weights after some updates."""
    found = {"outputs": difference(predicted(theirs), predicted(ours))}
    gradients, weights = [], []
    for subject in (theirs, ours):
        step = update(subject, Descent)
        for seed in range(UPDATES):
            torch.manual_seed(seed)  # the same dropout
            step()
            if not seed:
                gradients.append([p.grad.clone() for p in trained(subject) if p.grad is not None])
        weights.append([p.detach() for p in trained(subject)])
    return found | {"gradients": difference(*gradients), "weights": difference(*weights)}


def difference(expected: list[Tensor], found: list[Tensor]) -> float:
    """The largest difference as a part of the largest number; NaN where the one has other tensors than the other."""
    if not expected or [a.shape for a in expected] != [b.shape for b in found]:
        return float("nan")
    if all(a.equal(b) for a, b in zip(expected, found, strict=True)):
        return 0.0
    apart = max(float((a - b).abs().max()) for a, b in zip(expected, found, strict=True) if a.numel())
    return apart / max(float(a.abs().max()) for a in expected if a.numel())


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors of floats in what a model returns."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.numel():
            yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    elif isinstance(value, Mapping):
        yield from tensors(list(value.values()))
    elif is_dataclass(value):
        yield from tensors([getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)


# --- times ---


def timed(calls: dict[str, Callable[[], Any]], subjects: dict[str, Subject], places: list[int], seconds: float) -> dict:
    """Medians in ms, how many times as long it took before, and the share of the GRU before and after."""
    alone = {name: replay(subject, places, calls[name]) for name, subject in subjects.items()}
    times = round_robin(calls | {f"GRU {name}": call for name, call in alone.items()}, seconds)
    ms = {name: median(each) for name, each in times.items()}
    return {
        "ms": {name: ms[name] for name in calls},
        "ratio": ratios({name: times[name] for name in calls}, OURS)[THEIRS],
        "share": {name: min(1.0, ms[f"GRU {name}"] / ms[name]) for name in calls},
    }


def outermost(names: Iterable[str]) -> list[str]:
    """Those of the names that are no part of another."""
    return [name for name in names if not any(name.startswith(f"{other}.") or (not other and name) for other in names)]


def replay(subject: Subject, places: list[int], call: Callable[[], Any]) -> Callable[[], None]:
    """What the GRUs at these places do in a call, all else left out: forward, and in training backward.

    Their inputs are those that they had, the gradients of their outputs ones.
    """
    modules = list(subject.modules(subject.module).values())
    parts, calls = [modules[i] for i in places], []
    for part in parts:
        recorded(part, subject.method, calls)
    try:
        call()
    finally:
        for part in parts:
            object.__delattr__(part, subject.method)
    training = subject.module.training
    wanted = [tensor for tensor in tensors([each[1:] for each in calls]) if tensor.requires_grad]
    wanted += trained(subject)  # all, since Keras keeps them at the top

    def again() -> None:
        with torch.set_grad_enabled(training):
            made = [function(*args, **kwargs) for function, args, kwargs in calls]
        outputs = [tensor for tensor in tensors(made) if tensor.requires_grad]
        if outputs:
            torch.autograd.grad(outputs, wanted, [torch.ones_like(each) for each in outputs], allow_unused=True)

    return again


def recorded(part: Any, method: str, calls: list) -> None:
    """Let each call of a part add itself to `calls`, with inputs that are leaves."""
    function = getattr(part, method)

    def record(*args: Any, **kwargs: Any) -> Any:
        calls.append((function, *leaves((args, kwargs))))
        return function(*args, **kwargs)

    object.__setattr__(part, method, record)


def leaves(value: Any) -> Any:
    """The same arguments, their tensors cut off from what made them."""
    if isinstance(value, PackedSequence):
        return PackedSequence(leaves(value.data), *value[1:])
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {name: leaves(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(leaves(each) for each in value)
    return value
