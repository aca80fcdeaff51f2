"""The description of the options of a fit, and all that is said of them elsewhere."""

import dataclasses
import inspect
import re
import sys

import numpy as np
import pytest

import cgru
from cgru.estimators import recipe
from cgru.network.options import OPTIONS, Settings, Trait

SAMPLES = ["self", "X", "y", "lengths", "groups", "sample_weight"]


def test_fit_has_all_options_with_their_defaults():
    parameters = inspect.signature(cgru.Network.fit).parameters
    assert {name: each.default for name, each in parameters.items() if name not in SAMPLES} == vars(Settings())
    assert set(SAMPLES) < set(parameters)
    for name in OPTIONS:
        assert re.search(rf"\b{name}\b", cgru.Network.fit.__doc__), name


def test_each_option_says_what_it_does():
    for name, option in OPTIONS.items():
        text = option.help.format(**vars(recipe))
        assert re.match("[a-z].{7,}[^.]$", text), name
        default = getattr(Settings, name)
        if option.check is not None and default is not None:
            assert option.check(default, name) == default


def test_estimators_have_the_defaults_of_the_recipe():
    pytest.importorskip("sklearn")
    from cgru.sklearn import GRUClassifier, GRURegressor

    for estimator in (GRUClassifier, GRURegressor):
        parameters = inspect.signature(estimator).parameters
        assert parameters["validation_fraction"].default == recipe.VALIDATION
        assert parameters["n_iter_no_change"].default == recipe.PATIENCE
        shared = OPTIONS.keys() & parameters.keys()
        assert shared - {"class_weight"} == {"epochs", "batch_size", "standardize", "average"}
        for name in shared:
            option = OPTIONS[name]
            assert parameters[name].default == (getattr(Settings, name) if option.recipe is ... else option.recipe)


def test_settings_are_checked_and_converted():
    found = Settings(epochs=np.int64(3), checkpoint="fit", metrics={"n": len}, class_weight="balanced", average=0.5)
    assert (type(found.epochs), found.checkpoint) == (int, cgru.Checkpoint("fit", 10.0, False))
    assert (found.metrics, found.class_weight, found.average) == ({"n": len}, "balanced", 0.5)
    assert (found.size(True), Settings(batch_size=3).size(True), found.size(False)) == (32, 3, sys.maxsize)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.epochs = 4
    for given, words in (
        ({"epochs": None}, "epochs: "),
        ({"patience": 3}, "patience: "),
        ({"bucket": True, "shuffle": False}, "bucket: "),
        ({"penalties": {"l1": 1}}, "penalties: "),
        ({"class_weight": "even"}, "class_weight: "),
        ({"shrink": True, "validation": 0.5}, "shrink: "),
        ({"shrink": True, "standardize_targets": True}, "shrink: "),
        ({"checkpoint": 3}, "checkpoint: "),
        ({"epoch": 3}, "epoch: "),
        ({"class_weight": {"a": "b"}}, "class_weight['a']: "),
        ({"memory": "high"}, "memory: "),
        ({"average": 1.0}, "average: "),
        ({"average": 0}, "average: "),
        ({"average": np.nan}, "average: "),
        ({"average": True}, "average: "),
        ({"average": "0.9"}, "average: "),
        ({"metrics": {"loss": len}}, "metrics: "),
        ({"metrics": [len]}, "metrics: "),
        ({"metrics": {1: len}}, "metrics: "),
        ({"metrics": {"n": 1}}, "metrics['n']: "),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^" + re.escape(words)):
            Settings.of(given)


def test_a_bar_needs_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"^progress: tqdm is missing"):
        Settings(progress=True)
    assert not Settings(progress=np.False_).progress


def test_what_a_checkpoint_compares():
    """All that decides how a fit goes; what is shown or kept beside it may differ."""
    one, other = (
        Settings().for_resume(),
        Settings(epochs=7, validation=0.5, shuffle=False, recover=True, metrics={"a": len}),
    )
    assert {name for name, value in other.for_resume().items() if value != one[name]} == {
        "epochs", "validation", "shuffle", "metrics"
    }  # fmt: skip
    assert one["batch_size"] == 32
    assert Settings(validation=(1, 2)).for_resume()["validation"] is None
    resumed = {name for name, option in OPTIONS.items() if Trait.RESUME in option.traits}
    assert {*resumed, "batch_size", "validation", "metrics"} == one.keys()


def test_the_traits_of_the_options():
    schedule = {"standardize", "shuffle", "patience", "truncate", "standardize_targets", "shrink", "average", "bucket"}
    targets = {"patience", "standardize_targets", "shrink"}
    due = {
        Trait.IN_FOLDS: schedule - targets | {"penalties", "epochs", "batch_size", "class_weight", "memory"},
        Trait.RESUME: schedule | {"epochs"},
        Trait.UNLIKE: {"class_weight", "standardize_targets", "shrink", "metrics"},
        Trait.REREADS: {"epochs", "standardize", "class_weight", "standardize_targets", "recover"},
        Trait.REREADS_VALIDATION: {"epochs", "shrink", "checkpoint"},
        Trait.JUDGES: {"metrics"},
    }
    assert due == {trait: {name for name, option in OPTIONS.items() if trait in option.traits} for trait in Trait}
    assert {name for name, option in OPTIONS.items() if option.alone} == {"batch_size", "bucket", "checkpoint"}
