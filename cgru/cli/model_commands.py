"""The subcommands that take a model: `cgru predict`, `evaluate`, `export` and `quantize`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

import cgru
from cgru import losses
from cgru.cli import output
from cgru.cli.arguments import Request, RequestError, as_request_error
from cgru.cli.data import model_data
from cgru.cli.output import Predictions, echo, name_of, say
from cgru.cli.task import targets
from cgru.datasets import Dataset, Split
from cgru.network import read_extra
from cgru.network.presentation import figure
from cgru.quantization import compare_layers, output_noise

__all__ = ["evaluate", "export", "load_model", "predict", "quantize", "score_text"]


def predict(request: Request) -> None:
    """Run `cgru predict`: print the predictions of a model, or write them to a file."""
    output.check_predictions(request.output, request.data, request.model)
    net, data, source, split, which = _read_model_and_data(request, scores=False)
    if data.test is not None:
        say(f"{which} of {source}")
    classifies = losses.classifies(net.loss)
    with as_request_error(f"{source}: "):
        A = net.predict(split.X) if request.output or not classifies else None
        classes = net.predict_classes(split.X) if classifies else None
    real = net.output_mask(split.X, split.X.lengths) if net.per_step else None
    has_times = real is not None and data.times is not None and data.times.shape == real.shape
    times = (" ".join(data.columns.time or ("time",)), data.times) if has_times else None
    with as_request_error(f"{request.model}: "):  # stdout may lack characters of a class name
        output.write_predictions(request.output, Predictions(A, classes, _output_names(net), real, split.ids, times))


def _output_names(net: cgru.Network) -> Sequence[str]:
    """Return the names of the outputs: classes, or targets with the quantity predicted of each; () where unknown."""
    if losses.classifies(net.loss):
        return net.data_spec.labels
    return losses.named(net.loss).output_names(net.target_names) if net.target_names else ()


def evaluate(request: Request) -> None:
    """Run `cgru evaluate`: print the scores of a model on data, and write a report."""
    output.check_page(request.html, request.data, request.model)
    net, _, source, split, which = _read_model_and_data(request)
    with as_request_error(f"{source}: "):
        echo(f"{which} of {name_of(source)}: {score_text(net, split)}")
        if request.report or request.html:
            report = cgru.report(net, split.X, split.y)
    if request.report:
        with as_request_error(f"{request.model}: "):  # stdout may lack characters of a class name
            echo(f"\n{report}")
    if request.html:
        output.save_report(request.html, report, request.model, which, source)


def export(request: Request) -> None:
    """Run `cgru export`: write a model as a C file and a header, and its weights apart if requested."""
    stem, apart = os.path.splitext(request.output)[0], request.weights == "file"
    for path in (request.output, f"{stem}.h", f"{stem}.weights")[: 2 + apart]:
        output.check_output(path, request.model)
    net = load_model(request.model)
    if any(len(layer.cells) > 1 for layer in net.layers):
        due = "a model that runs a step at a time, as `cgru fit --causal` makes it"
        raise RequestError(f"{request.model}: expected {due}, got a bidirectional one")
    with as_request_error():
        cgru.export_c(net, request.output, name=request.name, dtype=request.dtype, weights=request.weights)
    echo(f"model in {request.output}, header in {stem}.h" + f", weights in {stem}.weights" * apart)


def quantize(request: Request) -> None:
    """Run `cgru quantize`: write a model with weights of fewer bytes, and print how its scores change."""
    output.check_output(request.output, request.data, request.model)
    net, data, source, split, which = _read_model_and_data(request)
    seen = {"calibration": data.train.X} if request.calibrate or request.activations else {}
    if request.limit is not None and not request.calibrate:
        raise RequestError("argument --limit: needs --calibrate, to measure by")
    with as_request_error():
        small = cgru.quantize(net, request.weights, activations=request.activations, limit=request.limit, **seen)
    with as_request_error(f"{source}: "):
        layers = compare_layers(net, small, split.X)
        change = output_noise(net, small, split.X)
        before, after = score_text(net, split), score_text(small, split)
    with as_request_error():
        small.save(request.output, read_extra(request.model))
    echo(f"{which} of {name_of(source)}: {before}")
    kinds = sorted({each["weights"] for each in layers if each["weights"]} - {request.activations}, reverse=True)
    states = f" and {request.activations} activations" if request.activations else ""
    echo(f"  with {' and '.join(kinds)} weights{states}: {after}")
    echo(f"  outputs differ by {change['largest']:.2g} at most, RMS {change['rms']:.2g}: {change['snr']:.1f} dB")
    echo(f"  {'layer':16}{'weights':10}{'bytes':>10}{'before':>10}{'dB':>7}")
    for each in layers:
        sizes = f"{each['small_bytes']:10}{each['bytes']:10}"
        echo(f"  {each['layer']:16}{each['weights'] or '':10}{sizes}{each['snr']:7.1f}")
    small_size, size = map(os.path.getsize, (request.output, request.model))
    echo(f"model in {request.output}, {small_size} bytes instead of {size}")


def load_model(path: str) -> cgru.Network:
    """Load a model; RequestError for a file that is not a model."""
    with as_request_error():
        return cgru.load(path)


def _read_model_and_data(request: Request, scores: bool = True) -> tuple[cgru.Network, Dataset, str, Split, str]:
    """Load a model and read data for it; return (model, data, their name, split, its name); `scores`: with targets.

    The split is the test split if there is one, else all data. For `scores` its targets are those of the model: class
    indices or numbers. Print notes on the data.
    RequestError where the model takes sequences with another number of features.
    """
    model, net = request.model, load_model(request.model)
    data, source = model_data(net, request, scores)
    split, which = (data.test, "test split") if data.test is not None else (data.train, "all")
    for note in data.notes:
        say(f"note: {note}")
    due, got = net.features, split.X.shape[2]
    if due is None:
        raise RequestError(f"{model}: this model takes tokens, which a data file cannot hold")
    if due != got:
        advice = "; x (m, e, s) becomes (m, s, e) by x.swapaxes(1, 2)" if due == split.X.shape[1] else ""
        raise RequestError(f"{source}: expected {due} features a step, as {model} takes, got {got}{advice}")
    if scores:
        split = split._replace(y=targets(net, split, data, source))
    return net, data, source, split, which


def score_text(net: cgru.Network, split: Split) -> str:
    """Score `net` on a split; return its loss and accuracy in words, or its loss and RMSE for a regression."""
    X, y, judge = split.X, split.y, losses.named(net.loss)
    if not judge.classifies:
        rmse = {"RMSE": lambda y, A: math.sqrt(np.square(judge.point(A) - y).mean())}
        found = net.evaluate(X, y, metrics=rmse)
        return f"loss {figure(found['loss'])}, RMSE {figure(found['RMSE'])}"
    loss, accuracy = net.evaluate(X, y).values()
    count = net.output_mask(X, X.lengths).sum() if net.per_step else len(y)
    return f"loss {figure(loss)}, accuracy {accuracy:.2%} ({round(accuracy * count)} of {count})"
