"""Updates that are left out, fits that diverge, and those that go back to their best parameters."""

import pickle
import re

import numpy as np
import pytest
from checkpoint_cases import stopping
from helpers import assert_all_same, refuses
from network_cases import weights

import cgru
from cgru.network.history import Epoch, History

RNG = np.random.default_rng(7)
M, S, SIZE = 48, 4, 4
X = RNG.standard_normal((M, S, 2)).astype(np.float32)
Y = RNG.standard_normal((M, 1))


# --- updates that are left out ---


def broken(*batches):
    """X, y and weights whose batches of `SIZE` there have a finite loss and an infinite gradient."""
    wild, y, weights = X.copy(), 0.01 * Y, np.ones(M)
    wild[:, :, 1] = 0
    for batch in batches:
        rows = slice(batch * SIZE, (batch + 1) * SIZE)
        wild[rows, :, 1], y[rows], weights[rows] = 3e38, 1e4, 0
    return wild, y, weights


def below(optimizer, **options):
    """A layer whose weights of the second feature are 0: however large that is, the outputs do not show it."""
    layers = [cgru.Dense(3, "tanh"), cgru.GRU(3, **options), cgru.Dense(1, "identity")]
    net = cgru.Network(layers, optimizer=optimizer, seed=2, dtype=np.float32)
    net.make(X)
    net.layers[0].p["W"][1] = 0
    return net


OPTIMIZERS = [
    cgru.SGD(0.1, momentum=0.9, schedule="linear"),
    cgru.Adam(0.01, clip_norm=1.0, schedule="one_cycle"),
    cgru.RMSprop(0.01, momentum=0.5),
]


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
def test_an_update_without_a_finite_gradient_is_left_out(engine, optimizer, average):
    """Parameters and moments are those of a fit in which such batches weigh nothing; the schedule goes on."""
    wild, y, weights = broken(0, 3, 4, 11)
    net, due = below(optimizer), below(optimizer)
    options = {"epochs": 3, "batch_size": SIZE, "shuffle": False, "average": average}
    history = net.fit(wild, y, **options)
    plain = due.fit(wild, y, sample_weight=weights, **options)
    assert_all_same(net.parameters(), due.parameters())
    (ours,), (theirs,) = net.optimizer_state.values(), due.optimizer_state.values()
    for key, (steps, *arrays) in theirs.items():
        assert ours[key][0] == steps == 3 * 8
        for one, other in zip(ours[key][1:], arrays, strict=True):
            np.testing.assert_array_equal(one, other)
    assert history.learning_rate == plain.learning_rate
    assert [epoch.skipped for epoch in history] == [4, 4, 4]
    assert history.skipped == net.history.skipped == 12
    assert plain.skipped == 0
    assert history.problems().startswith("12 updates were left out, because a gradient was not finite")
    assert np.isfinite(history.loss).all()


def test_clipping_by_layers_and_penalties_do_not_hide_it(engine):
    wild, y, _ = broken(2)
    net = below(cgru.Adam(0.01), clip_gradients=True)
    history = net.fit(wild, y, epochs=1, batch_size=SIZE, shuffle=False, penalties=cgru.Penalties(0.01, 0.01))
    assert history.skipped == 1
    assert all(np.isfinite(array).all() for array in net.parameters().values())
    assert history.problems().startswith("an update was left out, because a gradient was not finite")


def test_ten_in_a_row_are_a_divergence(engine):
    for batches, words in {tuple(range(9)): None, tuple(range(10)): "epoch 1, batch 10 of 12"}.items():
        wild, y, _ = broken(*batches)
        net, options = below(cgru.SGD(0.01)), {"batch_size": SIZE, "shuffle": False}
        if words is None:
            assert net.fit(wild, y, epochs=2, **options).skipped == 18
            continue
        with pytest.raises(RuntimeError, match=f"^the gradients of 10 updates in a row are not finite at {words}: tr"):
            net.fit(wild, y, epochs=2, **options)
    # Also from one epoch to the next, where nothing comes between.
    wild, y, _ = broken(0, 1, 2, 3, 4, 7, 8, 9, 10, 11)
    with pytest.raises(cgru.DivergenceError, match="not finite at epoch 2, batch 5 of 12") as caught:
        below(cgru.SGD(0.01)).fit(wild, y, epochs=2, **options)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.epoch, str(again)) == (2, str(caught.value))
    assert str(again) == f"{again.reason}: training diverged; {again.cure}"


def test_what_is_left_out_is_shown(engine, capsys):
    from cgru.network.progress import epoch_text

    wild, y, _ = broken(1)
    epoch = below(cgru.SGD(0.01)).fit(wild, y, epochs=1, batch_size=SIZE, shuffle=False)[0]
    assert epoch_text(epoch).endswith(" 1 left out")


# --- back to the best parameters ---


def line(rate, **options):
    """A regression whose updates, at a rate of 1 or more, lead ever further away."""
    net = cgru.Network(
        [cgru.Pool("last"), cgru.Dense(1, "identity")], "mse", cgru.SGD(rate), seed=1, dtype=np.float32, **options
    )
    net.make(X)
    return net


def fitted(net, **options):
    return net.fit(X, Y, **{"epochs": 400, "batch_size": M // 2, "recover": True} | options)


@pytest.mark.parametrize("validation", [None, 0.25])
def test_a_fit_that_diverges_goes_on_from_its_best_parameters(engine, validation):
    net = line(4.0)
    with pytest.raises(RuntimeError, match=r"training diverged; a lower learning rate or clip_norm may help$"):
        fitted(line(4.0), recover=False, validation=validation)
    history = fitted(net, validation=validation)
    assert 1 <= len(history.returns) <= 5
    assert [epoch.epoch for epoch in history] == list(range(1, 401))
    assert history.learning_rate[-1] == 4.0 / 2 ** len(history.returns)
    assert net.optimizer == cgru.SGD(4.0)
    assert np.isfinite(net.predict(X)).all()
    assert net.evaluate(X, Y)["loss"] < 10 * np.var(Y)
    words = f"it went back {len(history.returns)} times to the best parameters so far, and on at "
    assert words.replace("1 times", "once") in history.problems()
    assert f"1/{2 ** len(history.returns)} of the learning rate" in history.problems()


def test_after_five_returns_it_ends_with_the_best_parameters(engine):
    """Here those at the start: no epoch is over."""
    net = line(1e6)
    before = weights(net)
    history = fitted(net, batch_size=1)
    assert history.returns == ((1, 0),) * 6
    assert list(history) == []
    assert history.problems() == (
        "training diverged in epoch 1; it went back 5 times to the best parameters so far, and on at 1/32 of the "
        "learning rate in the end; it diverged again and ended with the best parameters, those at its start; try a "
        "lower learning rate"
    )
    assert_all_same(net.parameters(), before)
    assert repr(history) == "History(no epochs)"


@pytest.mark.parametrize("validation", [None, (X[:8], Y[:8])])
def test_the_best_are_those_with_the_lowest_loss(engine, validation):
    """Not those of the last epoch, which had come far on their way to infinity."""
    net, seen = line(0.02), []

    def faster(epoch):
        seen.append((epoch.loss if validation is None else epoch.validation_loss, weights(net)))
        if epoch.epoch == 5:
            net.optimizer = cgru.SGD(1e3)

    history = fitted(net, callback=faster, validation=validation)
    assert len(history.returns) == 6
    assert max(history.loss) > 1e6
    loss, best = min(seen, key=lambda each: each[0])
    kept = history.returns[-1][1]
    assert loss == (history.loss if validation is None else history.validation_loss)[kept - 1]
    assert f"ended with the best parameters, those of epoch {kept};" in history.problems()
    assert_all_same(net.parameters(), best)


def test_an_epoch_whose_last_update_went_wrong_is_not_the_best(engine):
    """Its loss, measured before that update, is the lowest; what it left predicts nothing that is finite."""
    net = line(0.05)

    def spoil(epoch):
        if epoch.epoch == 3:
            net.layers[-1].p["W"][...] = np.float32(3e38)
        if epoch.epoch == 2:
            before.update(weights(net))

    before = {}
    history = fitted(net, epochs=4, callback=spoil)
    assert history.returns[0][0] == 4
    assert np.isfinite(net.predict(X)).all()
    assert net.evaluate(X, Y)["loss"] < 2


def test_a_last_update_that_leaves_outputs_beyond_float32_is_undone(engine):
    """Its parameters are finite, and so is the loss, which was measured before it."""
    net = line(0.05)

    def leap(epoch):
        if epoch.epoch == 1:
            slope = 2 * X[:, -1].T @ (net.predict(X) - Y) / M
            net.optimizer = cgru.SGD(2.5e38 / float(np.abs(slope).max()))

    history = fitted(net, epochs=2, batch_size=M, callback=leap)
    assert history.returns[0] == (2, 1)
    assert np.isfinite(net.predict(X)).all()


def test_a_fit_that_does_not_diverge_is_the_same(engine):
    nets = [cgru.Network([cgru.GRU(3, dropout=0.2), cgru.Dense(1, "identity")], seed=1) for _ in range(2)]
    histories = [net.fit(X, Y, epochs=3, recover=recover) for net, recover in zip(nets, (False, True), strict=True)]
    assert histories[0].loss == histories[1].loss
    assert histories[1].problems() == histories[0].problems()
    assert histories[1].returns == ()
    assert_all_same(nets[1].parameters(), nets[0].parameters())
    for key, (steps, *arrays) in nets[0].optimizer_state["Adam"].items():
        assert nets[1].optimizer_state["Adam"][key][0] == steps
        for one, other in zip(arrays, nets[1].optimizer_state["Adam"][key][1:], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("validation", "rate"), [(None, 64.0), (0.25, 5.0)])
def test_a_fit_that_was_killed_goes_on_to_the_same_bits(engine, tmp_path, validation, rate):
    """Wherever it was killed: before, between and after its returns."""

    def made():
        net = cgru.Network(
            [cgru.Dropout(0.1), cgru.Pool("last"), cgru.Dense(1, "identity")],
            "mse",
            cgru.SGD(rate, momentum=0.3, schedule="linear"),
            seed=1,
            dtype=np.float32,
        )
        net.make(X)
        return net

    options = {
        "epochs": 60,
        "batch_size": 8,
        "validation": validation,
        "standardize_targets": True,
    }
    due = made()
    history = fitted(due, checkpoint=cgru.Checkpoint(tmp_path / "whole", 0), **options)
    assert history.returns
    kills = {history.returns[-1][0] - 1, history.returns[0][0] - 1, len(history)} - {0}
    for kill in kills if engine == "compiled" else [history.returns[-1][0] - 1]:
        path = tmp_path / f"{kill}.npz"

        with pytest.raises(KeyboardInterrupt):
            fitted(made(), checkpoint=cgru.Checkpoint(path, 0), callback=stopping(kill, KeyboardInterrupt), **options)
        net = made()
        resumed = fitted(net, checkpoint=cgru.Checkpoint(path, 0, True), **options)
        assert resumed.returns == history.returns
        assert resumed.loss == history.loss
        for key, array in due.parameters().items():
            np.testing.assert_array_equal(net.parameters()[key], array, err_msg=f"{kill} {key}")
    again = made()  # of the one that is over
    options["checkpoint"] = cgru.Checkpoint(tmp_path / "whole", resume=True)
    assert fitted(again, **options).returns == history.returns
    assert_all_same(again.parameters(), due.parameters())


def test_updates_in_a_row_are_counted_over_a_kill(tmp_path):
    wild, y, _ = broken(0, 1, 2, 3, 4, 7, 8, 9, 10, 11)
    options = {"epochs": 2, "batch_size": SIZE, "shuffle": False}
    options["checkpoint"] = cgru.Checkpoint(tmp_path / "c", 0, True)
    with pytest.raises(RuntimeError, match="at epoch 2, batch 5 of 12"):
        below(cgru.SGD(0.01)).fit(wild, y, **options)
    with pytest.raises(RuntimeError, match="at epoch 2, batch 5 of 12"):
        below(cgru.SGD(0.01)).fit(wild, y, **options)


def test_a_loss_that_is_not_finite_at_the_start_says_what_to_do(engine):
    net = cgru.Network([cgru.Pool("last"), cgru.Dense(1, "identity")], "mse", seed=1, dtype=np.float32)
    net.make(X)
    net.layers[-1].p["W"][...] = 3e38
    words = (
        r"^the loss is not finite with the parameters at the start of the fit: .*; standardize=True or dtype=np.float64"
    )
    with pytest.raises(RuntimeError, match=words):
        net.fit(X, Y, recover=True, epochs=2)
    np.testing.assert_array_equal(net.layers[-1].p["W"], np.float32(3e38))


def test_validation_that_is_never_finite_ends_the_fit(engine):
    held_out = np.full((4, S, 2), 3e38), Y[:4]
    net = line(0.01)
    net.layers[-1].p["W"][...] = 10
    history = net.fit(X, Y, validation=held_out, recover=True, epochs=3, standardize_targets=True, shrink=True)
    assert history.returns == ((1, 0),) * 6
    assert np.isfinite(net.predict(X)).all()


def test_what_cannot_be_slowed_is_refused():
    class Mine:
        def rate(self, fraction):
            return 0.1

        def step(self, p, g, state, fraction):
            pass

    net = cgru.Network([cgru.GRU(2), cgru.Dense(1, "identity")], optimizer=Mine())
    with refuses(ValueError, "recover"):
        net.fit(X, Y, recover=True)
    with refuses(TypeError, "recover"):
        net.fit(X, Y, recover=1)


def test_a_job_that_never_had_an_epoch_has_failed():
    job = cgru.Job(lambda: line(1e6), epochs=3, batch_size=SIZE, recover=True)
    (result,) = cgru.fit_many([job], X, Y)
    assert isinstance(result.error, RuntimeError)
    assert "training diverged" in str(result.error)


def test_batches_that_cannot_begin_anew_cannot_be_gone_back_to():
    batches = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, M, 8)]
    with refuses(ValueError, "X"):
        line(0.01).fit(iter(batches), epochs=1, recover=True)
    history = line(1e6).fit(batches, epochs=3, recover=True)
    assert len(history.returns) == 6


def test_which_epoch_was_kept():
    def history(losses, validation, *returns):
        found = History(
            Epoch(i + 1, 9, loss, None, held, None, 0.1, 1.0)
            for i, (loss, held) in enumerate(zip(losses, validation, strict=True))
        )
        found.returns = returns
        return found

    none = [None] * 3
    assert history([3, 1, 2], none).skipped == 0
    assert History().kept() is None
    assert history([3, 1, 2], none).kept().epoch == 3
    assert history([3, 1, 2], [5, 4, 6]).kept().epoch == 2
    assert history([3, 1, 2], none, (2, 1)).kept().epoch == 3
    assert history([3, 1, 2], none, *[(4, 2)] * 5).kept().epoch == 3
    assert history([3, 1, 2], none, *[(4, 2)] * 6).kept().epoch == 2
    assert history([3, 1, 2], none, *[(4, 0)] * 6).kept() is None
    assert history([3, 1, 2], [5, 4, 6], *[(4, 2)] * 6).kept().epoch == 2


def test_a_history_keeps_what_happened():
    epoch = Epoch(3, 9, 0.5, None, None, None, 0.1, 1.0, skipped=2)
    history = History([epoch])
    history.returns = (1, 0), (3, 2), (3, 2)
    for count, words in {
        1: "went back once to the",
        4: "went back 4 times",
        5: "5 times .* 1/32 of",
        6: "5 times .* 1/32",
    }.items():
        history.returns = ((1, 0),) * count
        assert re.search(words, history.problems())
        assert ("ended with the best parameters, those at its start" in history.problems()) == (count == 6)
    history.returns = (1, 0), (3, 2), (3, 2)
    copy = pickle.loads(pickle.dumps(history))
    assert (copy.returns, copy.skipped) == (((1, 0), (3, 2), (3, 2)), 2)
    assert History().problems() == ""
    assert history.problems() == (
        "2 updates were left out, because a gradient was not finite; training diverged in epochs 1, 3; it went back 3 "
        "times to the best parameters so far, and on at 1/8 of the learning rate in the end"
    )


RNG = np.random.default_rng(0)
INPUTS, NOISE = RNG.standard_normal((60, 6, 3)), RNG.standard_normal(60)
THIRDS = (np.arange(60) % 3 > 0).astype(int)


@pytest.mark.parametrize(
    ("head", "y", "options", "words"),
    [
        ((2, "softmax"), THIRDS, {}, "class alone is 66.67% of the training"),
        ((1, "sigmoid"), THIRDS, {}, "class alone is 66.67% of the training"),
        ((2, "softmax"), THIRDS, {"class_weight": {0: 8}}, "class alone is 80.00% of the training"),
        ((2, "softmax"), THIRDS, {"sample_weight": 1.0 + (THIRDS > 0)}, "class alone is 80.00% of the training"),
        ((2, "softmax"), THIRDS, {"validation": (INPUTS[:6], THIRDS[:6])}, "class alone is 66.67% of the validation"),
        ((2, "softmax"), np.eye(2)[THIRDS], {}, "class alone is 66.67% of the training"),
        ((2, "sigmoid"), np.eye(2)[THIRDS], {}, "class alone is 66.67% of the training"),
        ((1, "identity"), NOISE, {}, "a constant alone has a mean_squared_error loss of"),
        ((1, "identity"), NOISE, {"standardize_targets": True}, "mean_squared_error loss of 1 on the training"),
        ((1, "identity"), NOISE, {"validation": 0.2}, "loss of .* on the validation data"),
        ((1, "identity", "huber"), NOISE, {}, "a constant alone has a huber loss"),
        ((3, "identity", "quantile(0.1, 0.5, 0.9)"), NOISE, {}, r"a constant alone has a quantile\(0.1"),
        ((2, "identity", "gaussian"), NOISE, {}, "a constant alone has a gaussian loss"),
        ((1, "identity", "poisson"), THIRDS, {}, "a constant alone has a poisson loss"),
        (None, np.arange(360).reshape(60, 6) % 3 // 2, {"lengths": [3] * 60}, "class alone is 66.67% of the training"),
    ],
)
def test_a_fit_that_learned_nothing_says_so(head, y, options, words):
    """It is compared with the most frequent class, without classes with the best constant outputs."""
    layers = [cgru.GRU(4, sequences=head is None), cgru.Dense(*(head or (2, "softmax"))[:2])]
    net = cgru.Network(layers, *(head or ())[2:], seed=0)
    history = net.fit(INPUTS, y, epochs=1, **options)
    assert re.search(f"^nothing was learned: .*{words}", history.problems())


def test_a_fit_whose_outputs_are_shrunk_to_the_mean_learned_nothing():
    net = cgru.Network([cgru.GRU(8), cgru.Dense(1, "identity")], optimizer=cgru.Adam(0.02), seed=0)
    history = net.fit(INPUTS, NOISE, epochs=9, validation=0.3, standardize_targets=True, shrink=True)
    assert np.ptp(net.predict(INPUTS)) == 0
    assert history.problems().startswith("nothing was learned: ")


def test_a_network_that_learned_in_its_last_epoch_says_nothing():
    """An epoch's own scores are from before its updates, and with dropout."""
    layers = [cgru.GRU(8), cgru.Dense(2, "softmax")]
    net = cgru.Network(layers, optimizer=cgru.SGD(1e-9), seed=1)
    y = (INPUTS[:, -1, 0] > 0).astype(int)

    def learn(epoch):
        if epoch.epoch == 4:
            net.optimizer = cgru.Adam(0.1)

    history = net.fit(INPUTS, y, epochs=5, batch_size=60, callback=learn)
    assert history.accuracy[-1] < np.bincount(y).max() / 60 < net.evaluate(INPUTS, y)["accuracy"]
    assert history.problems() == ""


@pytest.mark.parametrize("options", [{}, {"validation": 0.3}])
@pytest.mark.parametrize("head", [(2, "softmax"), (1, "sigmoid"), (1, "identity")])
def test_a_fit_that_learned_something_says_nothing(head, options):
    y = INPUTS[:, -1, 0] if head[1] == "identity" else (INPUTS[:, -1, 0] > 0).astype(int)
    net = cgru.Network([cgru.GRU(8), cgru.Dense(*head)], optimizer=cgru.Adam(0.02), seed=0)
    assert net.fit(INPUTS, y, epochs=40, **options).problems() == ""
    for given in ((INPUTS, y * 0 + 1), ([(INPUTS, y)],)):  # there is nothing to learn; batches are not read again
        assert net.fit(*given, epochs=1).problems() == ""
