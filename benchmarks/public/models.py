"""Models out of packages that people install, each built by its package's own API, with its defaults where it has some.

Weights and data are random, nothing is downloaded. Letters: m samples, s steps, e features, u units, k classes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cgru.torch
from benchmarks.public.compare import Subject, tensors

M, S = 32, 100  # samples of a batch and steps, where a model has no habit of its own


class Model(NamedTuple):
    """A row of the table: the package that has to be there (a distribution's name; none: "") and how it is built."""

    package: str
    build: Callable[[], Subject]
    note: str


MODELS: dict[str, Model] = {}


def model(name: str, package: str = "", note: str = "") -> Callable[[Callable[[], Subject]], Callable[[], Subject]]:
    """Enter what builds a model of that name in the list."""

    def enter(build: Callable[[], Subject]) -> Callable[[], Subject]:
        MODELS[name] = Model(package, build, note)
        return build

    return enter


def subject(module: nn.Module, *inputs: Any, **options: Any) -> Subject:
    """A module that is called with these inputs; its loss is the mean square of all that it returns."""

    def call() -> Any:
        return module(*inputs)

    return Subject(module, call, lambda: squares(call()), **options)


def squares(outputs: Any) -> Tensor:
    return sum(each.square().mean() for each in tensors(outputs) if each.requires_grad)


def classified(module: nn.Module, k: int, *inputs: Tensor) -> Subject:
    """A module whose outputs (m, k) are scores of classes."""
    labels = torch.randint(k, (len(inputs[0]),))
    return Subject(module, lambda: module(*inputs), lambda: F.cross_entropy(module(*inputs), labels))


# --- time series ---


@model("tsai GRU", "tsai")
def tsai_gru() -> Subject:
    from tsai.models.RNN import GRU

    return classified(GRU(6, 5), 5, torch.randn(64, 6, S))


@model("tsai GRUPlus", "tsai", "2 layers, both directions")
def tsai_gru_plus() -> Subject:
    from tsai.models.RNNPlus import GRUPlus

    return classified(GRUPlus(6, 5, n_layers=2, bidirectional=True), 5, torch.randn(M, 6, S))


@model("tsai GRU_FCN", "tsai")
def tsai_gru_fcn() -> Subject:
    from tsai.models.RNN_FCN import GRU_FCN

    return classified(GRU_FCN(6, 5, S), 5, torch.randn(64, 6, S))


@model("tsai GRUAttention", "tsai")
def tsai_gru_attention() -> Subject:
    from tsai.models.RNNAttention import GRUAttention

    return classified(GRUAttention(6, 5, S), 5, torch.randn(16, 6, S))


@model("sktime GRUClassifier", "sktime")
def sktime_gru() -> Subject:
    from sktime.classification.deep_learning.gru import GRUClassifier

    X, y = np.random.default_rng(0).standard_normal((M, 6, S)).astype(np.float32), np.arange(M) % 3
    fitted = GRUClassifier(num_epochs=1, batch_size=M, random_state=0).fit(X, y)
    return classified(fitted.network, 3, torch.from_numpy(X).transpose(1, 2))


@model("sktime GRUFCNNClassifier", "sktime")
def sktime_gru_fcn() -> Subject:
    from sktime.classification.deep_learning.gru import GRUFCNNClassifier

    X, y = np.random.default_rng(0).standard_normal((M, 6, S)).astype(np.float32), np.arange(M) % 3
    fitted = GRUFCNNClassifier(hidden_dim=64, gru_layers=1, num_epochs=1, batch_size=M, random_state=0).fit(X, y)
    return classified(fitted.network, 3, torch.from_numpy(X).transpose(1, 2))


@model("neuralforecast GRU", "neuralforecast")
def neuralforecast_gru() -> Subject:
    from neuralforecast.models import GRU

    return subject(GRU(h=12, input_size=72), window(M, 72, 12))


@model("neuralforecast DilatedRNN", "neuralforecast", 'cell_type="GRU"')
def neuralforecast_dilated() -> Subject:
    from neuralforecast.models import DilatedRNN

    return subject(DilatedRNN(h=12, input_size=72, cell_type="GRU"), window(M, 72, 12))


def window(m: int, s: int, h: int) -> dict[str, Any]:
    """What neuralforecast hands to a model's forward."""
    x = torch.randn(m, s, 1)
    return {"insample_y": x, "insample_mask": torch.ones_like(x)} | dict.fromkeys(
        ("futr_exog", "hist_exog", "stat_exog", "cat_exog", "hist_cat_exog", "futr_cat_exog", "stat_cat_exog")
    )


def forecasting_data() -> tuple[Any, Any]:
    """A TimeSeriesDataSet of pytorch-forecasting, and a batch (x, y) of it."""
    import pandas
    from pytorch_forecasting import TimeSeriesDataSet

    rows = [(i, t, np.sin(0.3 * t + i)) for i in range(40) for t in range(120)]
    table = pandas.DataFrame(rows, columns=["series", "t", "y"]).astype({"series": str, "y": "float32"})
    data = TimeSeriesDataSet(
        table, "t", "y", ["series"], max_encoder_length=60, max_prediction_length=12,
        time_varying_unknown_reals=["y"],
    )  # fmt: skip
    return data, next(iter(data.to_dataloader(train=True, batch_size=64, num_workers=0, shuffle=False)))


@model("pytorch-forecasting RecurrentNetwork", "pytorch-forecasting", 'cell_type="GRU"')
def forecasting_recurrent() -> Subject:
    from pytorch_forecasting import RecurrentNetwork

    data, (x, y) = forecasting_data()
    net = RecurrentNetwork.from_dataset(data, cell_type="GRU")
    accelerate = partial(cgru.torch.accelerate, also=[type(net.rnn)])  # a subclass that adds methods alone
    return Subject(net, lambda: net(x)["prediction"], lambda: net.loss(net(x)["prediction"], y), accelerate)


@model("pytorch-forecasting DeepAR", "pytorch-forecasting", 'cell_type="GRU", hidden_size=64')
def forecasting_deepar() -> Subject:
    from pytorch_forecasting import DeepAR

    data, (x, y) = forecasting_data()
    net = DeepAR.from_dataset(data, cell_type="GRU", hidden_size=64)

    def predict() -> Any:
        torch.manual_seed(1)  # it draws its forecasts
        return net(x, n_samples=20)["prediction"]

    accelerate = partial(cgru.torch.accelerate, also=[type(net.rnn)])
    return Subject(net, predict, lambda: net.loss(net(x)["prediction"], y), accelerate)


def series() -> Any:
    from darts import TimeSeries

    t = np.arange(400)
    return TimeSeries.from_values((np.sin(0.3 * t) + 0.01 * t)[:, None].astype(np.float32))


def darts_subject(made: Any) -> Subject:
    """The module that darts made in a fit of one step, and a batch of its own."""
    from darts.models.forecasting.pl_forecasting_module import ModuleStage

    made.fit(series())
    net, batch = made.model, next(iter(made.trainer.train_dataloader))
    net.log = lambda *_, **__: None  # there is no fit any more to log for
    inputs = batch.to_module_input(stage=ModuleStage.VALIDATE)
    return Subject(net, lambda: net(inputs), lambda: net.training_step(batch, 0))


@model("darts RNNModel", "darts", '"GRU"')
def darts_rnn() -> Subject:
    from darts.models import RNNModel

    return darts_subject(RNNModel(48, model="GRU", training_length=60, n_epochs=1, **quiet_trainer()))


@model("darts BlockRNNModel", "darts", '"GRU"')
def darts_block() -> Subject:
    from darts.models import BlockRNNModel

    return darts_subject(BlockRNNModel(48, 12, model="GRU", n_epochs=1, **quiet_trainer()))


def quiet_trainer() -> dict[str, Any]:
    shown = ("enable_progress_bar", "enable_model_summary", "logger", "enable_checkpointing")
    return {"pl_trainer_kwargs": {"accelerator": "cpu", "max_steps": 1, **dict.fromkeys(shown, False)}}


def with_gaps(s: int, e: int) -> dict[str, Tensor]:
    """What pypots hands to a model: values, which of them are there, and what it makes of these."""
    X, mask = torch.randn(M, s, e), (torch.rand(M, s, e) > 0.2).float()
    deltas, both = torch.rand(M, s, e), {}
    for side in ("forward", "backward"):
        both[side] = {"X": X, "missing_mask": mask, "deltas": deltas}
    more = {"empirical_mean": torch.zeros(e), "X_filledLOCF": X, "X_ori": X, "indicating_mask": 1 - mask}
    return {"X": X * mask, "missing_mask": mask, "deltas": deltas, **more, **both}


def pypots_subject(made: Any, s: int, e: int) -> Subject:
    net, inputs = made.model, with_gaps(s, e)
    return Subject(net, lambda: net(inputs), lambda: net(inputs, calc_criterion=True)["loss"])


@model("pypots GRU-D", "pypots")
def pypots_grud() -> Subject:
    from pypots.imputation import GRUD

    return pypots_subject(GRUD(48, 35, 64, verbose=False), 48, 35)


@model("pypots M-RNN", "pypots")
def pypots_mrnn() -> Subject:
    from pypots.imputation import MRNN

    return pypots_subject(MRNN(48, 10, 64, verbose=False), 48, 10)


@model("pypots SegRNN", "pypots")
def pypots_segrnn() -> Subject:
    from pypots.imputation import SegRNN

    return pypots_subject(SegRNN(48, 35, 12, d_model=128, dropout=0.1, verbose=False), 48, 35)


# --- speech ---


@model("asteroid DPRNNTasNet", "asteroid", 'rnn_type="GRU"')
def asteroid_dprnn() -> Subject:
    from asteroid.models import DPRNNTasNet

    return subject(DPRNNTasNet(2, rnn_type="GRU", n_repeats=2), torch.randn(1, 8000))


@model("speechbrain CRDNN", "speechbrain", "rnn_class=GRU")
def speechbrain_crdnn() -> Subject:
    from speechbrain.lobes.models.CRDNN import CRDNN
    from speechbrain.nnet.RNN import GRU

    x = torch.randn(4, 50, 40)
    return subject(CRDNN(input_shape=x.shape, rnn_class=GRU, rnn_neurons=128, rnn_layers=2), x)


@model("speechbrain GRU", "speechbrain")
def speechbrain_gru() -> Subject:
    from speechbrain.nnet.RNN import GRU

    x = torch.randn(8, 200, 40)
    return subject(GRU(256, input_shape=x.shape, num_layers=2, bidirectional=True), x)


@model("speechbrain AttentionalRNNDecoder", "speechbrain", '"gru"')
def speechbrain_decoder() -> Subject:
    from speechbrain.nnet.RNN import AttentionalRNNDecoder

    net = AttentionalRNNDecoder("gru", "content", 256, 256, 1, 256, 128)
    return subject(net, torch.randn(8, 30, 128), torch.randn(8, S, 256), torch.ones(8))


@model("speechbrain LiGRU", "speechbrain", "its own code")
def speechbrain_ligru() -> Subject:
    from speechbrain.nnet.RNN import LiGRU

    x = torch.randn(8, S, 40)
    return subject(LiGRU(128, x.shape), x)


@model("DeepFilterNet3", "deepfilternet", "the whole model")
def deepfilternet() -> Subject:
    for name in ("torchaudio.backend", "torchaudio.backend.common"):  # which the newest no longer has
        sys.modules.setdefault(name, ModuleType(name)).AudioMetaData = object
    from df.config import config
    from df.deepfilternet3 import DfNet, ModelParams

    config.load(None, config_must_exist=False, allow_defaults=True, allow_reload=True)
    p = ModelParams()
    torch.manual_seed(0)
    net = DfNet(torch.eye(p.fft_size // 2 + 1, p.nb_erb), torch.eye(p.nb_erb, p.fft_size // 2 + 1), p.df_order > 0)
    s, f = S, p.fft_size // 2 + 1
    inputs = (torch.randn(1, 1, s, f, 2), torch.randn(1, 1, s, p.nb_erb), torch.randn(1, 1, s, p.nb_df, 2))
    return subject(net, *inputs)


@model("coqui-tts Tacotron", "coqui-tts")
def coqui_tacotron() -> Subject:
    from TTS.tts.configs.tacotron_config import TacotronConfig
    from TTS.tts.models.tacotron import Tacotron

    config = TacotronConfig()
    config.num_chars, config.r = 100, 5
    net = Tacotron(config)
    m, s = 8, 100
    texts, spectra = torch.randint(1, net.embedding.num_embeddings, (m, 40)), torch.rand(m, s, config.audio["num_mels"])
    lengths = torch.full((m,), 40), torch.full((m,), s)
    return subject(net, texts, lengths[0], spectra, lengths[1])


# --- recommenders ---


def recbole_subject(name: str, **options: Any) -> Subject:
    """A sequential model of recbole, on a file of 300 users and 1,000 items that is written for it."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model

    rng = np.random.default_rng(0)
    vars(np).update(float_=np.float64, complex_=np.complex128, unicode_=np.str_)  # which NumPy 2 no longer has
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tiny", "tiny.inter")
        file.parent.mkdir()
        lines = [f"{u}\t{i}\t{t}" for u in range(300) for t, i in enumerate(rng.integers(1000, size=40))]
        file.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]))
        given = {"data_path": folder, "use_gpu": False, "state": "ERROR", "train_neg_sample_args": None}
        given |= {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "train_batch_size": 512, **options}
        config = Config(name, "tiny", config_dict=given)
        data = create_dataset(config)
        batches = data_preparation(config, data)[0]
    net, batch = get_model(name)(config, batches.dataset), next(iter(batches))
    return Subject(net, lambda: net.full_sort_predict(batch), lambda: net.calculate_loss(batch))


@model("recbole GRU4Rec", "recbole")
def recbole_gru4rec() -> Subject:
    return recbole_subject("GRU4Rec")


@model("recbole NARM", "recbole")
def recbole_narm() -> Subject:
    return recbole_subject("NARM")


@model("deepctr-torch DIEN", "deepctr-torch")
def deepctr_dien() -> Subject:
    from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import DIEN

    item = SparseFeat("item", 1000, embedding_dim=32)
    past = VarLenSparseFeat(
        SparseFeat("hist_item", 1000, embedding_dim=32, embedding_name="item"), 50, length_name="length"
    )
    net = DIEN([SparseFeat("user", 300, embedding_dim=32), item, past], ["item"])
    m = 128
    columns = {"user": torch.randint(300, (m, 1)), "item": torch.randint(1000, (m, 1))}
    columns |= {"hist_item": torch.randint(1, 1000, (m, 50)), "length": torch.randint(1, 51, (m, 1))}
    x = torch.cat([columns[name] for name in net.feature_index], -1).float()
    y = (torch.rand(m, 1) > 0.5).float()
    return Subject(net, lambda: net(x), lambda: F.binary_cross_entropy(net(x), y))


# --- text ---

WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "dogs", "ran", "away", "from", "many", "small", "houses")


def sentences(count: int) -> list[Any]:
    from flair.data import Sentence

    rng = np.random.default_rng(0)
    made = [Sentence(" ".join(rng.choice(WORDS, rng.integers(5, 40)))) for _ in range(count)]
    for sentence in made:
        sentence.add_label("kind", ("good", "bad")[len(sentence) % 2])
        for token in sentence:
            token.set_label("pos", "short" if len(token.text) < 4 else "long")
    return made


def flair_subject(make: Callable[[Any, Any], Any], kind: str) -> Subject:
    """A model of flair's on one-hot embeddings of words, and sentences of 5 to 39 of these."""
    from flair.data import Corpus
    from flair.embeddings import OneHotEmbeddings

    found = sentences(M)
    corpus = Corpus(train=found, dev=found, test=found, sample_missing_splits=False)
    embeddings = OneHotEmbeddings.from_corpus(corpus, field="text", min_freq=1, embedding_length=100)
    net = make(embeddings, corpus.make_label_dictionary(kind, add_unk=False))

    def loss() -> Tensor:
        for sentence in found:
            sentence.clear_embeddings()  # which are else kept from call to call
        total, count = net.forward_loss(found)
        return total / count

    return Subject(net, loss, loss)


@model("flair SequenceTagger", "flair", 'rnn_type="GRU", one-hot')
def flair_tagger() -> Subject:
    from flair.models import SequenceTagger

    return flair_subject(lambda words, kinds: SequenceTagger(words, kinds, "pos", rnn_type="GRU"), "pos")


@model("flair TextClassifier", "flair", "DocumentRNNEmbeddings, one-hot")
def flair_classifier() -> Subject:
    from flair.embeddings import DocumentRNNEmbeddings
    from flair.models import TextClassifier

    def make(words: Any, kinds: Any) -> Any:
        return TextClassifier(DocumentRNNEmbeddings([words]), label_type="kind", label_dictionary=kinds)

    return flair_subject(make, "kind")


# --- graphs ---


def graph(nodes: int, degree: int) -> Tensor:
    return torch.stack([torch.arange(nodes).repeat_interleave(degree), torch.randint(nodes, (nodes * degree,))])


@model("torch_geometric GatedGraphConv", "torch_geometric")
def geometric_gated() -> Subject:
    from torch_geometric.nn import GatedGraphConv

    return subject(GatedGraphConv(128, num_layers=4), torch.randn(2000, 64), graph(2000, 8))


@model("torch_geometric AttentiveFP", "torch_geometric")
def geometric_attentive() -> Subject:
    from torch_geometric.nn import AttentiveFP

    m, nodes = 64, 64 * 25  # molecules of 25 atoms
    edges = graph(nodes, 2)
    inputs = torch.randn(nodes, 39), edges, torch.randn(edges.shape[1], 10), torch.arange(m).repeat_interleave(25)
    return subject(AttentiveFP(39, 200, 1, 10, num_layers=2, num_timesteps=2), *inputs)


@model("torch_geometric GRUAggregation", "torch_geometric")
def geometric_aggregation() -> Subject:
    from torch_geometric.nn.aggr import GRUAggregation

    m, n = 500, 16
    return subject(GRUAggregation(64, 64), torch.randn(m * n, 64), torch.arange(m).repeat_interleave(n))


# --- reinforcement learning ---


def torchrl_subject(*shape: int, python_based: bool = False) -> Subject:
    """A GRU between an environment's observations and the policy; of shape (m, s) in training, (m,) in a rollout."""
    from tensordict import TensorDict
    from torchrl.modules import GRUModule

    recurrent = len(shape) > 1
    net = GRUModule(
        16, 128, in_keys=["observation", "h"], out_keys=["seen", ("next", "h")], python_based=python_based,
        default_recurrent_mode=recurrent,
    )  # fmt: skip
    data = TensorDict(
        {
            "observation": torch.randn(*shape, 16),
            "h": torch.zeros(*shape, 1, 128),
            "is_init": torch.zeros(*shape, 1, dtype=torch.bool),
        },
        shape,
    )
    return Subject(net, lambda: net(data.clone())["seen"], lambda: net(data.clone())["seen"].square().mean())


@model("torchrl GRUModule", "torchrl", "trajectories")
def torchrl_module() -> Subject:
    return torchrl_subject(M, 64)


@model("torchrl GRUModule, one step", "torchrl", "a rollout's step of 1 environment")
def torchrl_step() -> Subject:
    return torchrl_subject(1)


@model("torchrl GRUModule, python_based", "torchrl", "its own code")
def torchrl_python() -> Subject:
    return torchrl_subject(M, 64, python_based=True)


# --- Keras on PyTorch ---


def keras_subject(layers: Callable[[Any], list[Any]], x: np.ndarray, k: int) -> Subject:
    """A Sequential of Keras's that tells k classes apart."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    import cgru.keras

    net = keras.Sequential([*layers(keras.layers), keras.layers.Dense(k, activation="softmax")])
    inputs, labels = torch.from_numpy(x), torch.randint(k, (len(x),))
    loss = keras.losses.SparseCategoricalCrossentropy()
    return Subject(
        net,
        lambda: net(inputs, training=False),
        lambda: loss(labels, net(inputs, training=True)),
        cgru.keras.accelerate,
        lambda made: {layer.path: layer for layer in made._flatten_layers()},
        "call",
    )


@model("Keras GRU", "keras", "two layers")
def keras_gru() -> Subject:
    x = np.random.default_rng(0).standard_normal((M, S, 8)).astype(np.float32)
    return keras_subject(lambda of: [of.GRU(64, return_sequences=True), of.GRU(64)], x, 5)


@model("Keras Bidirectional(GRU)", "keras", "Embedding")
def keras_bidirectional() -> Subject:
    x = np.random.default_rng(0).integers(1, 1000, (M, S))
    return keras_subject(lambda of: [of.Embedding(1000, 64), of.Bidirectional(of.GRU(64))], x, 2)


@model("Keras text", "keras", "Embedding(mask_zero=True)")
def keras_text() -> Subject:
    x = np.random.default_rng(0).integers(1, 1000, (M, S))
    x[np.arange(S) >= np.random.default_rng(1).integers(20, S, (M, 1))] = 0
    return keras_subject(lambda of: [of.Embedding(1000, 64, mask_zero=True), of.GRU(64)], x, 2)


# --- without a package ---


class Seq2Seq(nn.Module):
    """Encoder, decoder step by step, attention over the encoder's states (Bahdanau, Cho and Bengio, 2014)."""

    def __init__(self, tokens: int, u: int) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(tokens, u), nn.Embedding(tokens, u)
        self.encoder = nn.GRU(u, u, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * u, u)
        self.query, self.key, self.score = nn.Linear(u, u), nn.Linear(2 * u, u), nn.Linear(u, 1)
        self.decoder = nn.GRUCell(3 * u, u)
        self.head = nn.Linear(u, tokens)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores (m, s, tokens) of the tokens after those of target (m, s)."""
        states, last = self.encoder(self.source(source))
        h, keys, scores = torch.tanh(self.bridge(torch.cat([*last], -1))), self.key(states), []
        for x in self.target(target).unbind(1):
            weights = torch.softmax(self.score(torch.tanh(keys + self.query(h)[:, None])), 1)
            h = self.decoder(torch.cat([x, (weights * states).sum(1)], -1), h)
            scores.append(self.head(h))
        return torch.stack(scores, 1)


@model("seq2seq with attention", note="GRU and GRUCell, written here")
def seq2seq() -> Subject:
    net, source, target = Seq2Seq(1000, 128), torch.randint(1000, (M, 30)), torch.randint(1000, (M, 25))
    return Subject(
        net,
        lambda: net(source, target[:, :-1]),
        lambda: F.cross_entropy(net(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()),
    )


class Shapes(nn.Module):
    """GRUs of a model alone, each fed with noise: (features, units, both directions, rows, steps) and how many."""

    def __init__(self, shapes: list[tuple[int, int, bool, int, int, int]]) -> None:
        super().__init__()
        self.grus, self.inputs = nn.ModuleList(), []
        for e, u, both, m, s, count in shapes:
            for _ in range(count):
                self.grus.append(nn.GRU(e, u, batch_first=True, bidirectional=both))
                self.inputs.append(torch.randn(m, s, e))

    def forward(self) -> list[Tensor]:
        return [gru(x)[0] for gru, x in zip(self.grus, self.inputs, strict=True)]


FRAMES = 63  # a second of sound


@model("GTCRN", note="its GRUs alone, shapes as published by Rong et al., 2024; a second of sound")
def gtcrn() -> Subject:
    bands, frames = (8, 4, True, FRAMES, 33, 4), (8, 8, False, 33, FRAMES, 4)
    return subject(Shapes([bands, frames, (8, 16, False, 1, FRAMES, 6)]))


@model("UL-UNAS", note="its GRUs alone, shapes as published by Rong et al., 2025; a second of sound")
def ul_unas() -> Subject:
    bands, frames = (8, 4, True, FRAMES, 33, 4), (8, 8, False, 33, FRAMES, 4)
    over_bands = [(4, 4, True, FRAMES, s, count) for s, count in ((17, 2), (9, 7), (33, 1))]
    over_time = [(e, 2 * e, False, 1, FRAMES, count) for e, count in ((12, 2), (24, 4), (32, 2), (16, 1), (1, 1))]
    return subject(Shapes([bands, frames, *over_bands, *over_time]))
