"""The checkpoint of a fit: what is refused, by name, and what a file, a path or a disk that fails leaves."""

import errno
import json
import os
import re

import numpy as np
import pytest
from checkpoint_cases import Momentum, StopError, dropping, left, network, stopping
from helpers import refuses
from network_cases import LABELS, LENGTHS, REALS, M, X, made, same, weights

import cgru
from cgru.network import files

HELD = (X[:5], LABELS[:5], LENGTHS[:5])
FADING = {"X": cgru.Sequences(X, LENGTHS, decay=np.full(X.shape[:2], 0.5)), "lengths": None}


def changed(array, index=(3, 0), value=0):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 4}, "epochs: "),
        ({"batch_size": 6}, "batch_size: "),
        ({"truncate": 3}, "truncate: "),
        ({"patience": 3}, "patience: "),
        ({"standardize": True}, "standardize: "),
        ({"shuffle": False}, "shuffle: "),
        ({"validation": 0.25}, "validation: "),
        ({"validation": (*HELD[:2], LENGTHS[5:10])}, "validation X: "),
        ({"validation": (HELD[0], HELD[1][::-1], HELD[2])}, f"validation y: expected '{LABELS.dtype} (5,) "),
        ({"validation": HELD[:2]}, "validation X: "),
        ({"validation": None}, "validation X: "),
        ({"X": changed(X)}, "X: "),
        ({"X": changed(X, (23, 0, 2))}, "X: "),
        ({"X": X.astype(np.float32)}, "X: "),
        ({"y": changed(LABELS, 4, 0)}, f"y: expected '{LABELS.dtype} (24,) "),
        ({"lengths": None}, "X: "),
        ({"sample_weight": changed(np.ones(M), 3, 2.0)}, "sample_weight, class_weight: "),
        (FADING, "resets, decay: "),
        ({"validation": (FADING["X"][:5], HELD[1])}, "validation resets, decay: "),
        ({"class_weight": {1: 2.0}}, "sample_weight, class_weight: "),
        ({"net": {"seed": 7}}, "seed: "),
        ({"net": {"units": 6}}, "layer 0: "),
        ({"net": {"stack": 2}}, "layer 0: "),
        ({"net": {"dtype": np.float32}}, "dtype: "),
        ({"net": {"optimizer": "sgd"}}, "optimizer: "),
        ({"net": {"optimizer": cgru.Adam(0.5)}}, "optimizer.learning_rate: "),
        ({"net": {"optimizer": cgru.Adam(schedule="linear")}}, "optimizer.schedule: "),
        ({"net": {"loss": "mse"}, "y": np.eye(3)[LABELS], "validation": 0.2}, "loss: "),
        ({"net": {"head": cgru.Dense(3, "softmax", rng=np.random.Generator(np.random.SFC64()))}}, "layer 1: "),
        ({"layer": {"trainable": False}}, "layer 0: "),
        ({"layer": {"training": False}}, "layer 0: "),
        ({"layer": {"clip_gradients": True}}, "layer 0: "),
        ({"layer": {"se_hPars": {"ELU_alpha": 0.5}}}, "layer 0: "),
    ],
)
def test_another_fit_is_refused_by_name_and_touches_nothing(tmp_path, options, words):
    kept = {"checkpoint": cgru.Checkpoint(tmp_path / "fit", resume=True)}
    fit = {"X": X, "y": LABELS, "lengths": LENGTHS, "batch_size": 7, "epochs": 3, "validation": HELD}
    if "validation" in options and not isinstance(options["validation"], tuple) and options["validation"]:
        fit["validation"] = None
    if "loss" in words:
        fit |= {"y": np.eye(3)[LABELS], "validation": 0.2}
    made().fit(**fit, **kept)
    before = (tmp_path / "fit").read_bytes()
    for trained in (False, True):
        net = made(**options.get("net", {}))
        vars(net.layers[0]).update({k: v for k, v in options.get("layer", {}).items() if k != "clip_gradients"})
        net.layers[0].clip_gradients = options.get("layer", {}).get("clip_gradients", False)
        if trained:
            net.predict(X)
        due = left(net)
        given = fit | {name: value for name, value in options.items() if name not in ("net", "layer")}
        error = f"{tmp_path / 'fit'} is the checkpoint of another fit: {words}"
        with pytest.raises(ValueError, match=r"^" + re.escape(error)):
            net.fit(**given, **kept)
        np.testing.assert_equal(left(net), due)
        assert not net.history
    assert (tmp_path / "fit").read_bytes() == before


def test_layers_of_the_users_own_are_known_by_their_names(tmp_path):
    class Double(cgru.layers.Layer):
        def run(self, A, lengths=None):
            return cgru.Scale().run(2 * A, lengths)

    class Twice(Double):
        pass

    kept = {"epochs": 2, "checkpoint": cgru.Checkpoint(tmp_path / "fit", resume=True)}
    nets = [network([kind(), cgru.GRU(3), cgru.Dense(3, "softmax")]) for kind in (Double, Double, Twice)]
    assert len(nets[0].fit(X, LABELS, **kept)) == 2
    assert len(nets[1].fit(X, LABELS, **kept, callback=pytest.fail)) == 2
    with pytest.raises(ValueError, match="layer 0: "):
        nets[2].fit(X, LABELS, **kept)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda value: made(optimizer=Momentum(value)), "optimizer.learning_rate: "),
        (lambda value: dropping(activate=cgru.elu, alpha=value), "layer 2: "),
    ],
)
def test_numbers_that_differ(tmp_path, make, words):
    kept = {"epochs": 2, "checkpoint": cgru.Checkpoint(tmp_path / "fit", resume=True)}
    make(0.5).fit(X, LABELS, **kept)
    make(0.5).fit(X, LABELS, **kept, callback=pytest.fail)
    with pytest.raises(ValueError, match=words):
        make(0.25).fit(X, LABELS, **kept)


def test_a_state_that_no_file_can_hold(tmp_path):
    class Odd(Momentum):
        def step(self, p, g, state, fraction):
            super().step(p, g, state, fraction)
            state["odd"] = odd

    values = [(1, 2), {1: 2}, np.float32(3), np.array([None]), {"array": 3}, "x" * files.LONGEST]
    while values:
        odd, net = values.pop(), made(optimizer=Odd())
        with pytest.raises((TypeError, ValueError), match=r"^checkpoint: "):
            net.fit(X, LABELS, epochs=3, checkpoint=cgru.Checkpoint(tmp_path / "fit", 0))
        assert len(net.history) == 1


@pytest.fixture
def kept(tmp_path):
    """The checkpoint of a fit of `made()` that was stopped, and what goes on from it."""
    options = {"y": LABELS, "epochs": 3, "checkpoint": cgru.Checkpoint(tmp_path / "fit", 0, True)}
    with pytest.raises(StopError):
        made().fit(X, **options, callback=stopping(2))
    return tmp_path / "fit", options


def refused(path, options, words, error=ValueError):
    """Whether it is gone on from or replaced, it is refused, and stays as it is."""
    before, net = path.read_bytes(), made()
    due = left(net)
    with pytest.raises(error, match=words) as caught:
        net.fit(X, **options)
    assert str(path) in str(caught.value)
    np.testing.assert_equal(left(net), due)
    assert path.read_bytes() == before


def edited(path, change):
    """The file with `change` applied to its text, or to all that it holds."""
    with np.load(path, allow_pickle=False) as npz:
        arrays = dict(npz)
    text = json.loads(str(arrays["checkpoint"]))
    change(text, arrays)
    if "checkpoint" in arrays and arrays["checkpoint"].shape == ():
        arrays["checkpoint"] = np.array(json.dumps(text))
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def generator(text):
    return text["state"]["generators"][-1]


def means(text, arrays, *shapes, n=3):
    """Add running means, as `average` leaves them, of these shapes."""
    arrays |= {f"9{i}": np.zeros(shape) for i, shape in enumerate(shapes)}
    text["state"]["now"]["optimizer_state"]["fit"] = {"0.Uz": [n, {"array": "90"}, {"array": "91"}]}


def figures(text, arrays):
    """The figures of the fit's epochs."""
    return arrays[text["state"]["history"][0]["array"]]


def adams(text, moment):
    return text["state"][moment]["optimizer_state"]["Adam"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_part_of_a_file(kept, share):
    path, options = kept
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    why = "it is no .npz archive, or only a part of one" if share else "it is an empty file"
    refused(path, options, f"fit is not a cgru checkpoint: {why}")
    with pytest.raises(ValueError, match="is not a cgru checkpoint"):  # nor is it replaced
        made().fit(X, **options)


def test_a_bit_that_turned(kept):
    path, options = kept
    whole = bytearray(path.read_bytes())
    with np.load(path) as npz:
        at = whole.index(npz["8"].tobytes())
    whole[at + 5] ^= 4
    path.write_bytes(whole)
    refused(path, options, "fit is not a cgru checkpoint: 8 is no array, or damaged")


@pytest.mark.parametrize(
    "change",
    [
        lambda text, arrays: arrays.pop("3"),
        lambda text, arrays: arrays.pop("format"),
        lambda text, arrays: arrays.update(format=np.array(3)),
        lambda text, arrays: arrays.update(checkpoint=np.zeros(3)),
        lambda text, arrays: text.pop("settings"),
        lambda text, arrays: text["state"].pop("stale"),
        lambda text, arrays: text["state"].update(history=3),
        lambda text, arrays: text["state"]["now"]["parameters"].pop("0.Uz"),
        lambda text, arrays: text["state"].update(best={"parameters": {}}),
        lambda text, arrays: text["state"]["now"]["parameters"].update({"0.Uz": {"a": 1}}),
        lambda text, arrays: text["state"]["generators"].pop(),
        lambda text, arrays: generator(text).pop("state"),
        lambda text, arrays: generator(text)["state"].update(inc=1 << 200),
        lambda text, arrays: generator(text).update(bit_generator="MT19937"),
        lambda text, arrays: adams(text, "now").update(steps=[1.5]),
        lambda text, arrays: adams(text, "now").update(a=[1, "text"]),
        lambda text, arrays: arrays.update({(name := adams(text, "now")["0.Uz"][1]["array"]): arrays[name] * 1j}),
        lambda text, arrays: adams(text, "now")["0.Uz"].__setitem__(0, 10**30),
        lambda text, arrays: adams(text, "now")["0.Uz"].__setitem__(0, -1),
        lambda text, arrays: adams(text, "now")["0.Uz"].pop(),
        lambda text, arrays: arrays.update({adams(text, "now")["0.Uz"][2]["array"]: np.zeros(1)}),
        lambda text, arrays: means(text, arrays, (9, 3, 5), (3, 5)),
        lambda text, arrays: means(text, arrays, (3, 5), (3, 5), n=1 << 63),
        lambda text, arrays: text["state"].update(stale="x"),
        lambda text, arrays: text["state"].update(stale=2),
        lambda text, arrays: text["state"].update(row=-(10**40)),
        lambda text, arrays: text["state"].update(lowest=[1]),
        lambda text, arrays: text["state"].update(lowest_loss="1"),
        lambda text, arrays: text["state"].update(fallback=[text["state"]["now"]]),
        lambda text, arrays: text["state"].update(fallback=[text["state"]["now"] | {"epoch": 9}]),
        lambda text, arrays: text["state"]["now"].update(mean=[0, 1], scale=[1, 1]),
        lambda text, arrays: text["state"]["now"].update(mean=[0, 1, 2]),
        lambda text, arrays: text["state"]["now"].update(mean="a"),
        lambda text, arrays: text["state"]["now"].update(unit=-1),
        lambda text, arrays: figures(text, arrays).fill(1e300),
        lambda text, arrays: figures(text, arrays).fill(2),
        lambda text, arrays: figures(text, arrays).__setitem__((0, 2), np.nan),
        lambda text, arrays: text["state"]["history"][-1].append([1, "a"]),
        lambda text, arrays: text["split_seed"].update(pool_size=1 << 40),
        lambda text, arrays: text["split_seed"].update(spawn_key=[0] * 2000),
        lambda text, arrays: text["split_seed"].update(entropy=1.5),
    ],
)
def test_a_file_that_was_changed(kept, change):
    path, options = kept
    edited(path, change)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="fit is not a cgru checkpoint: "):
        made().fit(X, **options)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("MT19937", lambda state: state["state"].update(pos=625)),
        ("MT19937", lambda state: state["state"].update(pos=-1)),
        ("Philox", lambda state: state.update(buffer_pos=5)),
        ("Philox", lambda state: state.update(buffer_pos=-9)),
    ],
)
def test_a_generator_that_would_read_beyond_its_numbers(tmp_path, kind, change):
    """NumPy takes these states as they are."""
    path = tmp_path / "fit"

    def net():
        rng = np.random.Generator(getattr(np.random, kind)(3))
        return network([cgru.GRU(3, dropout=0.3, rng=rng), cgru.Dense(3, "softmax")])

    net().fit(X, LABELS, epochs=1, checkpoint=path)
    edited(path, lambda text, arrays: change(text["state"]["generators"][1]))
    with pytest.raises(ValueError, match="fit is not a cgru checkpoint: it has a generator's state"):
        net().fit(X, LABELS, epochs=1, checkpoint=cgru.Checkpoint(path, resume=True))


def test_files_of_other_kinds(kept):
    path, options = kept
    with pytest.raises(ValueError, match=r"fit is not a cgru model: it is a checkpoint, which a cgru.Checkpoint"):
        cgru.load(path)
    other = path.parent / "other"
    net = made()
    net.predict(X)
    net.save(other)
    refused(other, options | {"checkpoint": other}, "other is not a cgru checkpoint: it is a model")
    for spoil, words in (
        (lambda: other.write_text("x,y\n"), "it is no .npz archive"),
        (lambda: np.savez(other.with_suffix(".npz"), x=X), "'format' is missing"),
    ):
        spoil()
        if other.with_suffix(".npz").exists():
            other.with_suffix(".npz").replace(other)
        before = other.read_bytes()
        refused(other, options | {"checkpoint": other}, f"other is not a cgru checkpoint: {words}")
        with pytest.raises(ValueError, match="is not a cgru checkpoint"):
            made().fit(X, **options | {"checkpoint": other})
        assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (TypeError, {"resume": 1}), (TypeError, {"path": None}), (TypeError, {"path": 3}),
        *((TypeError, {"seconds": each}) for each in (True, "1")),
        *((ValueError, {"seconds": each}) for each in (-1, np.nan)),
    ],
)  # fmt: skip
def test_arguments(options, error):
    with refuses(error, [*options][-1]):
        cgru.Checkpoint(**{"path": "fit"} | options)


@pytest.mark.parametrize(
    ("error", "argument", "options"),
    [
        *((TypeError, "checkpoint", {"checkpoint": each}) for each in (3, True, ("fit", 0))),
        *((ValueError, "checkpoint", {"checkpoint": each}) for each in ("folder/", "")),
        (TypeError, "resume", {"resume": True}),  # which is the checkpoint's
    ],
)
def test_arguments_of_fit(tmp_path, monkeypatch, error, argument, options):
    monkeypatch.chdir(tmp_path)
    net = made()
    with refuses(error, argument):
        net.fit(X, LABELS, epochs=1, **options)
    assert not net.layers[0].p
    assert not os.listdir()


def test_a_full_disk(kept, monkeypatch):
    path, options = kept
    before, savez = path.read_bytes(), np.savez

    def full(file, **arrays):
        if written is None or written[0] == 0:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        written[0] -= 1
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    for resume in (False, True):
        for written, done in ((None, 2 if resume else 0), ([1], 1)):
            path.write_bytes(before)
            net = made()
            with pytest.raises(OSError, match="No space left on device") as caught:
                net.fit(X, **options | {"checkpoint": cgru.Checkpoint(path, 0, resume)})
            assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
            assert os.listdir(path.parent) == ["fit"]
            assert (path.read_bytes() == before) == (written is None)
            assert len(net.history) == (1 if resume else 0) + (written is not None), (resume, done)
    monkeypatch.undo()
    due = made()
    due.fit(X, LABELS, epochs=1)
    path.write_bytes(before)
    assert len(made().fit(X, **options)) == 3


def test_divergence_leaves_the_last_checkpoint(tmp_path):
    net = made(cgru.Dense(2, cgru.identity), optimizer=cgru.SGD(1e200))
    with pytest.raises(RuntimeError, match="training diverged"):
        net.fit(X, REALS, epochs=9, checkpoint=cgru.Checkpoint(tmp_path / "fit", 0))
    done = len(net.history)
    other = made(cgru.Dense(2, cgru.identity), optimizer=cgru.SGD(1e200))
    with pytest.raises(RuntimeError, match="training diverged"):
        other.fit(X, REALS, epochs=9, checkpoint=cgru.Checkpoint(tmp_path / "fit", resume=True))
    assert len(other.history) == done
    assert same(weights(other), weights(net))
