"""cgru.Dense in the place of EpyNN's Dense layer: the same keys, shapes and numbers."""

import numpy as np
import pytest

import cgru


@pytest.fixture(scope="module")
def epynn():
    """EpyNN 1.2; its import needs a name that NumPy 2 moved."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "VisibleDeprecationWarning", np.exceptions.VisibleDeprecationWarning, raising=False)
        pytest.importorskip("epynn.network.models", reason="EpyNN is not installed")
        import epynn.commons.maths
        import epynn.dense.models
        import epynn.embedding.models
        import epynn.gru.models
        import epynn.settings

        yield epynn


@pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")  # EpyNN's elu
@pytest.mark.parametrize("name", ["sigmoid", "softmax", "tanh", "lrelu", "elu", "relu", "identity"])
def test_equals_epynn(epynn, name):
    rng = np.random.default_rng(0)
    X, dA = rng.standard_normal((6, 5)), rng.standard_normal((6, 3))
    layers = []
    for Dense in (epynn.dense.models.Dense, cgru.Dense):
        layer = Dense(3, getattr(epynn.commons.maths, name), se_hPars=dict(epynn.settings.se_hPars))
        layer.np_rng, layer.lrate, layer.e = np.random.default_rng(5), [0.1], 0
        layer.compute_shapes(X)
        layer.initialize_parameters()
        layer.forward(X)
        layer.backward(dA)
        layer.compute_gradients()
        layer.update_parameters()
        layers.append(layer)
    theirs, ours = layers
    for shapes in ("d", "fs", "bs", "activation"):
        assert getattr(theirs, shapes) == getattr(ours, shapes)
    for cache in ("p", "fc", "bc", "g"):
        assert list(getattr(theirs, cache)) == list(getattr(ours, cache))
        for key, value in getattr(theirs, cache).items():
            np.testing.assert_allclose(getattr(ours, cache)[key], value, rtol=0, atol=1e-12 * np.abs(value).max())


def test_trains_in_an_epynn_network(epynn, capsys):
    from epynn.network.models import EpyNN

    rng = np.random.default_rng(2)
    X = rng.standard_normal((24, 4, 3))
    Y = (X.sum(axis=(1, 2)) > 0).astype(int)
    heads = []
    for Dense in (epynn.dense.models.Dense, cgru.Dense):
        embedding = epynn.embedding.models.Embedding(
            X_data=X.tolist(), Y_data=Y.tolist(), Y_encode=True, relative_size=(2, 1, 0), batch_size=8
        )
        head = Dense(2, epynn.commons.maths.softmax)
        model = EpyNN(layers=[embedding, epynn.gru.models.GRU(5), head], name="net")
        model.initialize(loss="CCE", seed=1, se_hPars=dict(epynn.settings.se_hPars))
        model.train(epochs=3, init_logs=False)
        heads.append(head)
    theirs, ours = heads
    for cache in ("p", "fc", "bc", "g"):
        for key, value in getattr(theirs, cache).items():
            np.testing.assert_allclose(getattr(ours, cache)[key], value, rtol=0, atol=1e-9 * np.abs(value).max())
    capsys.readouterr()
