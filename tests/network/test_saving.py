"""How a model file is written, and what is not."""

import numpy as np
import pytest
from file_cases import X, refused
from helpers import refuses

import cgru
from cgru.network import files


@pytest.mark.parametrize("name", ["model", "model.npz", "model.bin"])
def test_the_name_is_exactly_the_one_given(tmp_path, monkeypatch, model, name):
    net, _ = model
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    net.save(name)
    assert [path.name for path in folder.iterdir()] == [name]
    cgru.load(name)


@pytest.mark.parametrize(
    ("index", "role"),
    [
        (0, "activate"),
        (0, "activate_update"),
        (1, "activate_reset"),
        (1, "initialization"),
        (2, "activate"),
        (2, "initialization"),
    ],
)
def test_callables_that_are_not_ours(model, role, index):
    net, path = model
    layer, before = net.layers[index], path.read_bytes()

    def sigmoid(*arguments, **options):  # a name of ours does not make it ours
        raise AssertionError

    setattr(layer, role, sigmoid)
    with pytest.raises(ValueError, match=rf"^{role}: expected one of cgru's own.*sigmoid in layer {index}"):
        net.save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_layers_that_are_not_ours(model):
    net, path = model

    class Other(cgru.Dense):
        pass

    net.layers[2].__class__ = Other
    with pytest.raises(ValueError, match="got Other as layer 2"):
        net.save(path)


def test_parameters_that_do_not_fit_the_layer(model):
    net, path = model
    before = path.read_bytes()
    good = net.layers[1].p["Vz"]
    for wrong in (good[:2], good[:, :3], "text", 3.0):
        net.layers[1].p["Vz"] = wrong
        with refuses(ValueError, "layers"):
            net.save(path)
    net.layers[1].p["Vz"] = good
    net.mean = np.zeros(2)
    with refuses(ValueError, "mean"):
        net.save(path)
    assert path.read_bytes() == before


def test_twins_that_are_not_alike(tmp_path):
    def refused(change):
        net = cgru.Network([cgru.Bidirectional(cgru.GRU(2))])
        net.predict(X)
        change(*net.layers[0].halves)
        with refuses(ValueError, "layers"):
            net.save(tmp_path / "model")

    refused(lambda first, second: setattr(second, "zoneout", 0.5))
    refused(lambda first, second: setattr(second, "trainable", False))
    refused(lambda first, second: setattr(second, "reverse", False))
    refused(lambda first, second: setattr(first, "reverse", True))
    net = cgru.Network([cgru.Bidirectional(cgru.GRU(2, reverse=True))])
    due = net.predict(X)
    net.save(tmp_path / "model")
    np.testing.assert_array_equal(cgru.load(tmp_path / "model").predict(X), due)


def test_a_description_that_is_too_long(tmp_path, monkeypatch):
    net = cgru.Network([cgru.GRU(2)])
    net.predict(X)
    net.save(tmp_path / "model")
    with np.load(tmp_path / "model") as npz:
        length = len(str(npz["model"]))
    for longest in (length, length - 1):
        monkeypatch.setattr(files, "LONGEST", longest)
        if longest == length:
            net.save(tmp_path / "other")
            cgru.load(tmp_path / "other")
        else:
            with refuses(ValueError, "class_names, feature_names, layers"):
                net.save(tmp_path / "other")
            refused(tmp_path / "other", "model: expected a text of at most")


def test_no_layer_with_parameters():
    with refuses(ValueError, "layers"):
        files.pack([cgru.Flip()], {}, {})
