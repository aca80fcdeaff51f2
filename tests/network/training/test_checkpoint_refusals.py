"""The checkpoint of a fit: what is refused, by name, and what a file, a path or a disk that fails leaves."""

import errno
import json
import os
import re

import numpy as np
import pytest
from checkpoint_cases import Momentum, StopError, dropping, left, network, stopping
from network_cases import LABELS, LENGTHS, REALS, M, X, made, same, weights

import cgru
from cgru.network import files

HELD = (X[:5], LABELS[:5], LENGTHS[:5])


def changed(array, index=(3, 0), value=0):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 4}, "epochs: expected 3, got 4"),
        ({"batch_size": 6}, "batch_size: expected 7, got 6"),
        ({"truncate": 3}, "truncate: expected None, got 3"),
        ({"patience": 3}, "patience: expected None, got 3"),
        ({"standardize": True}, "standardize: expected False, got True"),
        ({"shuffle": False}, "shuffle: expected True, got False"),
        ({"validation": 0.25}, "validation: expected None, got 0.25"),
        ({"validation": (*HELD[:2], LENGTHS[5:10])}, "validation X: expected 'float64 (5, 6, 3) "),
        ({"validation": (HELD[0], HELD[1][::-1], HELD[2])}, f"validation y: expected '{LABELS.dtype} (5,) "),
        ({"validation": HELD[:2]}, "validation X: expected 'float64 (5, 6, 3) "),
        ({"validation": None}, "validation X: expected 'float64 (5, 6, 3) "),
        ({"X": changed(X)}, "X: expected 'float64 (24, 6, 3) "),
        ({"X": changed(X, (23, 0, 2))}, "X: expected 'float64 (24, 6, 3) "),
        ({"X": X.astype(np.float32)}, "X: expected 'float64 (24, 6, 3) "),
        ({"y": changed(LABELS, 4, 0)}, f"y: expected '{LABELS.dtype} (24,) "),
        ({"lengths": None}, "X: expected 'float64 (24, 6, 3) "),
        ({"sample_weight": changed(np.ones(M), 3, 2.0)}, "sample_weight, class_weight: expected None, got '"),
        ({"decay": np.full(X.shape[:2], 0.5)}, "resets, decay: expected None, got '"),
        ({"validation": (*HELD, None, {"resets": HELD[0][:, :, 0] > 0})}, "validation resets, decay: expected None, "),
        ({"class_weight": {1: 2.0}}, "sample_weight, class_weight: expected None, got '"),
        ({"net": {"seed": 7}}, "seed: expected 1, got 7"),
        ({"net": {"units": 6}}, "layer 0: expected 'GRU(unit_cells=5"),
        ({"net": {"stack": 2}}, "layer 0: expected 'GRU(unit_cells=5"),
        ({"net": {"dtype": np.float32}}, "dtype: expected 'float64', got 'float32'"),
        ({"net": {"optimizer": "sgd"}}, "optimizer: expected 'Adam', got 'SGD'"),
        ({"net": {"optimizer": cgru.Adam(0.5)}}, "optimizer.learning_rate: expected 0.001, got 0.5"),
        ({"net": {"optimizer": cgru.Adam(schedule="linear")}}, "optimizer.schedule: expected None, got 'linear'"),
        (
            {"net": {"loss": "mse"}, "y": np.eye(3)[LABELS], "validation": 0.2},
            "loss: expected 'cross_entropy', got 'mean_squared_error'",
        ),
        ({"net": {"head": cgru.Dense(3, "softmax", rng=np.random.Generator(np.random.SFC64()))}}, "layer 1: expected"),
        ({"layer": {"trainable": False}}, "layer 0: expected 'GRU("),
        ({"layer": {"training": False}}, "layer 0: expected 'GRU("),
        ({"layer": {"clip_gradients": True}}, "layer 0: expected 'GRU("),
        ({"layer": {"se_hPars": {"ELU_alpha": 0.5}}}, "layer 0: expected 'GRU("),
    ],
)
def test_another_fit_is_refused_by_name_and_touches_nothing(tmp_path, options, words):
    kept = {"checkpoint": tmp_path / "fit", "resume": True}
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
        with pytest.raises(ValueError, match="^" + re.escape(error)):
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

    kept = {"epochs": 2, "checkpoint": tmp_path / "fit", "resume": True}
    nets = [network([kind(), cgru.GRU(3), cgru.Dense(3, "softmax")]) for kind in (Double, Double, Twice)]
    assert len(nets[0].fit(X, LABELS, **kept)) == 2
    assert len(nets[1].fit(X, LABELS, **kept, callback=pytest.fail)) == 2
    with pytest.raises(ValueError, match=r"layer 0: expected '<.*\.Double object> .*, got '<.*\.Twice object> "):
        nets[2].fit(X, LABELS, **kept)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda value: made(optimizer=Momentum(value)), r"optimizer.learning_rate: expected 0.5, got 0.25$"),
        (
            lambda value: dropping(activate=cgru.elu, alpha=value),
            "layer 2: expected .* ELU_alpha=0.5 .* ELU_alpha=0.25 ",
        ),
    ],
)
def test_numbers_that_differ(tmp_path, make, words):
    kept = {"epochs": 2, "checkpoint": tmp_path / "fit", "resume": True}
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
        with pytest.raises((TypeError, ValueError), match=r"^checkpoint: expected .* got "):
            net.fit(X, LABELS, epochs=3, checkpoint=tmp_path / "fit", checkpoint_seconds=0)
        assert len(net.history) == 1


@pytest.fixture
def kept(tmp_path):
    """The checkpoint of a fit of `made()` that was stopped, and what goes on from it."""
    options = {"y": LABELS, "epochs": 3, "checkpoint": tmp_path / "fit", "checkpoint_seconds": 0}
    with pytest.raises(StopError):
        made().fit(X, **options, callback=stopping(2))
    return tmp_path / "fit", options


def refused(path, options, words, error=ValueError):
    """Whether it is gone on from or replaced, it is refused, and stays as it is."""
    before, net = path.read_bytes(), made()
    due = left(net)
    with pytest.raises(error, match=words) as caught:
        net.fit(X, **options, resume=True)
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


def reshaped(entry, arrays):
    """Give the second array of an entry of a state another shape."""
    arrays[entry[2]["array"]] = np.zeros(1)


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
    ("change", "words"),
    [
        (lambda text, arrays: arrays.pop("3"), "'3' is missing"),
        (lambda text, arrays: arrays.pop("format"), "'format' is missing"),
        (lambda text, arrays: arrays.update(format=np.array(3)), "its format 3 is newer than 2"),
        (lambda text, arrays: arrays.update(checkpoint=np.zeros(3)), "checkpoint: expected a text"),
        (lambda text, arrays: text.pop("settings"), "'settings' is missing"),
        (lambda text, arrays: text["state"].pop("stale"), "it is damaged"),
        (lambda text, arrays: text["state"].update(history=3), "it is damaged"),
        (lambda text, arrays: text["state"]["now"]["parameters"].pop("0.Uz"), "it has other parameters"),
        (lambda text, arrays: text["state"].update(best={"parameters": {}}), "it has other parameters"),
        (lambda text, arrays: text["state"]["now"]["parameters"].update({"0.Uz": {"a": 1}}), "it is damaged"),
        (lambda text, arrays: text["state"]["generators"].pop(), "it is damaged .ValueError: zip"),
        (lambda text, arrays: generator(text).pop("state"), "it is damaged .KeyError: 'state'."),
        (lambda text, arrays: generator(text)["state"].update(inc=1 << 200), "it is damaged .OverflowError"),
        (
            lambda text, arrays: generator(text).update(bit_generator="MT19937"),
            "it is damaged .*must be for a",
        ),
        (lambda text, arrays: adams(text, "now").update(steps=[1.5]), "it has an optimizer's state that is not of c"),
        (lambda text, arrays: adams(text, "now").update(a=[1, "text"]), "it has an optimizer's state that is not of f"),
        (
            lambda text, arrays: arrays.update({(name := adams(text, "now")["0.Uz"][1]["array"]): arrays[name] * 1j}),
            "17: expected",
        ),
        (
            lambda text, arrays: adams(text, "now")["0.Uz"].__setitem__(0, 10**30),
            "it has .* state that is not of counts",
        ),
        (lambda text, arrays: adams(text, "now")["0.Uz"].__setitem__(0, -1), "it has .* state that is not of counts"),
        (lambda text, arrays: adams(text, "now")["0.Uz"].pop(), "it has an optimizer's state that is of other shapes"),
        (lambda text, arrays: reshaped(adams(text, "now")["0.Uz"], arrays), "it has .* that is of other shapes"),
        (lambda text, arrays: means(text, arrays, (9, 3, 5), (3, 5)), "it has .* state that is of other shapes"),
        (lambda text, arrays: means(text, arrays, (3, 5), (3, 5), n=1 << 63), "it has .* that is not of counts"),
        (lambda text, arrays: text["state"].update(stale="x"), "stale: expected an integer from 0 to 1"),
        (lambda text, arrays: text["state"].update(stale=2), "stale: expected an integer from 0 to 1"),
        (lambda text, arrays: text["state"].update(row=-(10**40)), "row: expected an integer from 0 to 10"),
        (lambda text, arrays: text["state"].update(lowest=[1]), "lowest: expected a number or null"),
        (lambda text, arrays: text["state"].update(lowest_loss="1"), "lowest_loss: expected a number or null"),
        (
            lambda text, arrays: text["state"].update(fallback=[text["state"]["now"]]),
            "it is damaged .KeyError: 'epoch'",
        ),
        (
            lambda text, arrays: text["state"].update(fallback=[text["state"]["now"] | {"epoch": 9}]),
            "fallback 0: expected an integer from 0 to 1",
        ),
        (
            lambda text, arrays: text["state"]["now"].update(mean=[0, 1], scale=[1, 1]),
            r"mean and scale: .* \(3,\), got",
        ),
        (lambda text, arrays: text["state"]["now"].update(mean=[0, 1, 2]), r"mean and scale: .* shape \(3,\), got"),
        (lambda text, arrays: text["state"]["now"].update(mean="a"), "it is damaged"),
        (lambda text, arrays: text["state"]["now"].update(unit=-1), "unit: expected a number above 0"),
        (lambda text, arrays: figures(text, arrays).fill(1e300), "history: expected epochs"),
        (lambda text, arrays: figures(text, arrays).fill(2), "history: expected the epochs from 1 on"),
        (lambda text, arrays: figures(text, arrays).__setitem__((0, 2), np.nan), "history: expected a loss"),
        (lambda text, arrays: text["state"]["history"][-1].append([1, "a"]), "returns: expected pairs of epochs"),
        (lambda text, arrays: text["split_seed"].update(pool_size=1 << 40), "split_seed: expected entropy and spawn_k"),
        (
            lambda text, arrays: text["split_seed"].update(spawn_key=[0] * 2000),
            "split_seed: expected entropy and spawn",
        ),
        (lambda text, arrays: text["split_seed"].update(entropy=1.5), "split_seed: expected entropy and spawn_key"),
    ],
)
def test_a_file_that_was_changed(kept, change, words):
    path, options = kept
    edited(path, change)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"fit is not a cgru checkpoint: {words}"):
        made().fit(X, **options, resume=True)
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
    with pytest.raises(
        ValueError, match="fit is not a cgru checkpoint: it has a generator's state that is at no number"
    ):
        net().fit(X, LABELS, epochs=1, checkpoint=path, resume=True)


def test_files_of_other_kinds(kept):
    path, options = kept
    with pytest.raises(ValueError, match=r"fit is not a cgru model: it is a checkpoint, which Network.fit"):
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
    ("options", "error", "words"),
    [
        ({"checkpoint": None, "resume": True}, ValueError, "resume: expected a checkpoint beside it, got"),
        ({"resume": 1}, TypeError, "resume: expected"),
        ({"checkpoint": 3}, TypeError, "checkpoint: expected a str or an os.PathLike"),
        ({"checkpoint": "folder/"}, ValueError, "checkpoint: expected the name of a file"),
        ({"checkpoint_seconds": -1}, ValueError, "checkpoint_seconds: expected at least 0, got -1"),
        ({"checkpoint_seconds": np.nan}, ValueError, "checkpoint_seconds: expected at least 0, got nan"),
        ({"checkpoint_seconds": True}, TypeError, "checkpoint_seconds: expected a number, got bool"),
        ({"checkpoint_seconds": "1"}, TypeError, "checkpoint_seconds: expected a number, got str"),
    ],
)
def test_arguments(tmp_path, monkeypatch, options, error, words):
    monkeypatch.chdir(tmp_path)
    net = made()
    with pytest.raises(error, match="^" + re.escape(words)):
        net.fit(X, LABELS, **{"epochs": 1, "checkpoint": "fit"} | options)
    assert not net.layers[0].p
    assert not os.listdir()


@pytest.mark.parametrize("path", ["missing/fit", ".", "n" * 300, "closed/fit"])
def test_a_path_that_cannot_be_written(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "closed").write_text("no folder")
    net = made()
    for resume in (False, True):
        with pytest.raises(OSError) as caught:  # noqa: PT011 which one, the system says
            net.fit(X, LABELS, epochs=1, checkpoint=path, resume=resume)
        assert caught.value.filename == path
    assert not net.layers[0].p


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
                net.fit(X, **options | {"epochs": 3}, resume=resume)
            assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
            assert os.listdir(path.parent) == ["fit"]
            assert (path.read_bytes() == before) == (written is None)
            assert len(net.history) == (1 if resume else 0) + (written is not None), (resume, done)
    monkeypatch.undo()
    due = made()
    due.fit(X, LABELS, epochs=1)
    path.write_bytes(before)
    assert len(made().fit(X, **options, resume=True)) == 3


def test_divergence_leaves_the_last_checkpoint(tmp_path):
    net = made(cgru.Dense(2, cgru.identity), optimizer=cgru.SGD(1e200))
    with pytest.raises(RuntimeError, match="training diverged"):
        net.fit(X, REALS, epochs=9, checkpoint=tmp_path / "fit", checkpoint_seconds=0)
    done = len(net.history)
    other = made(cgru.Dense(2, cgru.identity), optimizer=cgru.SGD(1e200))
    with pytest.raises(RuntimeError, match="training diverged"):
        other.fit(X, REALS, epochs=9, checkpoint=tmp_path / "fit", resume=True)
    assert len(other.history) == done
    assert same(weights(other), weights(net))
