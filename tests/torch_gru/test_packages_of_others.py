"""Packages of others that build a torch.nn.GRU for themselves: one line in a hook of theirs, and the same training."""

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch")

import cgru.torch  # noqa: E402

pytestmark = pytest.mark.slow
EPOCHS = 4
DARTS = {  # a model, and what it is asked for; SGD shows the size of a gradient, which Adam does not
    "RNNModel": {"training_length": 36, "optimizer_cls": torch.optim.SGD, "optimizer_kwargs": {"lr": 0.1}},
    "BlockRNNModel": {"output_chunk_length": 6, "n_rnn_layers": 2, "dropout": 0.2},
}
SKTIME = {
    "GRUClassifier": {"n_layers": 2, "dropout": 0.2, "bidirectional": True},
    "GRUFCNNClassifier": {"gru_layers": 1, "conv_layers": [8, 16, 8], "optimizer": "SGD"},
}


@pytest.fixture
def ran(monkeypatch, threads):
    """How often a GRU was called in training, by its class, and how often PyTorch itself ran it, under "parent"."""
    counts, forward, before = Counter(), torch.nn.GRU.forward, torch.get_num_threads()

    def parent(self, *arguments):
        if self.training:
            counts["parent"] += 1
        return forward(self, *arguments)

    def called(module, *_):
        if isinstance(module, torch.nn.GRU) and module.training:
            counts[type(module)] += 1

    monkeypatch.setattr(torch.nn.GRU, "forward", parent)
    handle = torch.nn.modules.module.register_module_forward_hook(called)
    torch.set_num_threads(1)  # layers as small as these gain nothing by more
    yield counts
    torch.set_num_threads(before)
    handle.remove()


def compare(train, ran):
    """train(accelerated) gives the loss of each epoch and what is predicted then: the same numbers, in float64."""
    losses, due = train(False)
    calls = ran[torch.nn.GRU]
    assert calls > 0
    assert ran == {torch.nn.GRU: calls, "parent": calls}
    ran.clear()
    ours, predicted = train(True)
    assert ran == {cgru.torch.GRU: calls}  # and not one by the parent
    assert len(losses) == EPOCHS
    assert losses[-1] < losses[0]
    assert ours == pytest.approx(losses, rel=1e-9)
    np.testing.assert_allclose(predicted, due, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore")  # PyTorch Lightning's, of pinned memory and of itself
@pytest.mark.parametrize("name", DARTS)
def test_darts(name, ran):
    pytest.importorskip("darts", reason="no darts")
    pytest.importorskip("pytorch_lightning", reason="no pytorch_lightning")
    from darts import TimeSeries, models
    from pytorch_lightning import Callback

    noise = np.random.default_rng(0).normal(scale=0.1, size=300)
    series = TimeSeries.from_values(np.sin(np.arange(300) / 5) + noise)

    class Accelerate(Callback):
        def on_fit_start(self, trainer, pl_module):
            cgru.torch.accelerate(pl_module)

    class Losses(Callback):
        def __init__(self):
            self.values = []

        def on_train_epoch_end(self, trainer, pl_module):
            self.values.append(trainer.callback_metrics["train_loss"].item())

    def train(accelerated):
        losses = Losses()
        trainer = {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [losses, Accelerate()] if accelerated else [losses],
        }
        model = getattr(models, name)(
            model="GRU",
            input_chunk_length=24,
            hidden_dim=16,
            n_epochs=EPOCHS,
            random_state=0,
            pl_trainer_kwargs=trainer,
            **DARTS[name],
        )
        model.fit(series)
        return losses.values, model.predict(12).values()

    compare(train, ran)


@pytest.mark.parametrize("name", SKTIME)
def test_sktime(name, ran, capsys):
    pytest.importorskip("sktime", reason="no sktime")
    from sktime.classification.deep_learning import gru

    class Double(getattr(gru, name)):  # float32 is all that sktime knows
        def _build_network(self, X, y):
            network = super()._build_network(X, y).double()
            network.register_forward_pre_hook(lambda *call: ((), {"X": call[-1]["X"].double()}), with_kwargs=True)
            return network

    class Accelerated(Double):
        def _build_network(self, X, y):
            network = super()._build_network(X, y)
            cgru.torch.accelerate(network)
            return network

    rng = np.random.default_rng(0)
    y = rng.integers(3, size=60)
    X = rng.normal(size=(60, 2, 40)) + np.sin(np.arange(40) * (1 + y[:, None, None]) / 5)

    def train(accelerated):
        model = (Accelerated if accelerated else Double)(
            hidden_dim=16, batch_first=True, num_epochs=EPOCHS, verbose=True, random_state=0, **SKTIME[name]
        )
        model.fit(X, y)
        losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
        return losses, model.predict_proba(X)

    compare(train, ran)
