"""Parameters that share memory: an update would change it twice, and is refused; views that do not overlap train."""

import numpy as np
import pytest
from helpers import assert_all_same, refuses

import cgru

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 4, 3)), RNG.standard_normal((12, 1))
U = 3
pytestmark = pytest.mark.usefixtures("engine")


def network(**options):
    layers = [cgru.GRU(U, sequences=True), cgru.GRU(U, **options), cgru.Dense(1, "identity")]
    net = cgru.Network(layers, seed=1)
    net.make(X)
    return net


def across(net):
    net.layers[1].p["Vz"] = net.layers[0].p["Vz"]


def turned(net):
    net.layers[1].p["Vz"] = net.layers[0].p["Vz"].T


def within(net):
    net.layers[0].p["Ur"] = net.layers[0].p["Uz"]


def overlapping(net):
    memory = RNG.standard_normal(2 * U * U)
    net.layers[0].p["Vr"] = memory[: U * U].reshape(U, U)
    net.layers[1].p["Vhh"] = memory[U * U - 1 : -1].reshape(U, U)


REFUSED = {
    across: r"parameter 1\.Vz: expected separate memory, got some of 0\.Vz's",
    turned: r"parameter 1\.Vz: expected separate memory, got some of 0\.Vz's",
    within: r"parameter 0\.U.: expected separate memory, got some of 0\.U.'s",
    overlapping: r"parameter 1\.Vhh: expected separate memory, got some of 0\.Vr's",
}


@pytest.mark.parametrize("share", REFUSED, ids=lambda share: share.__name__)
def test_what_is_shared_is_refused(share):
    net = network()
    share(net)
    before = {key: array.copy() for key, array in net.parameters().items()}
    words = f"^{REFUSED[share]}, which an update would change twice; a copy trains by itself$"
    with pytest.raises(ValueError, match=words):
        net.fit(X, Y, epochs=1)
    for frozen in (0, 1):  # the other of the two would still be changed
        net.layers[frozen].trainable, net.layers[1 - frozen].trainable = False, True
        if share is not within or frozen == 1:
            with pytest.raises(ValueError, match="expected separate memory"):
                net.fit(X, Y, epochs=1)
    assert_all_same(net.parameters(), before)
    net.layers[0].trainable = net.layers[1].trainable = False
    net.fit(X, Y, epochs=1)  # now nobody changes what is shared
    net.layers[0].trainable = net.layers[1].trainable = True
    for layer in net.layers:
        for name, array in layer.p.items():
            layer.p[name] = array.copy()
    net.fit(X, Y, epochs=1)


def test_both_directions(engine):
    net = cgru.Network([cgru.Bidirectional(cgru.GRU(U)), cgru.Dense(1, "identity")])
    net.make(X)
    net.layers[0].backward_layer.p["Vz"] = net.layers[0].forward_layer.p["Vz"]
    with pytest.raises(ValueError, match=r"0\.backward\.Vz: "):
        net.fit(X, Y, epochs=1)


def strided(shape, *strides):
    memory = np.arange(100.0)
    return np.lib.stride_tricks.as_strided(memory, shape, [8 * stride for stride in strides])


@pytest.mark.parametrize(
    ("array", "wrong"),
    [
        (strided((U, U), 0, 1), True),
        (strided((U, U), 1, 0), True),
        (strided((U, U), 1, 1), True),
        (strided((U, U), 2, 3), False),
        (strided((U, U), 2, 4), True),
        (strided((U, U), 10, 2), False),
        (strided((U, U), 4, 12)[::-1, ::-1], False),
        (np.ndarray((U, U), float, np.zeros(100), 0, (48, 4)), True),
    ],
)
def test_numbers_of_one_parameter(array, wrong):
    net, due = network(), network()
    net.layers[0].p["Vz"] = array
    if wrong:
        with refuses(ValueError, "parameter 0.Vz"):
            net.fit(X, Y, epochs=1)
        net.layers[0].trainable = False
        net.fit(X, Y, epochs=1)
        return
    due.layers[0].p["Vz"] = array.copy()
    net.fit(X, Y, epochs=2)
    due.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(net.layers[0].p["Vz"], due.layers[0].p["Vz"])


def test_parts_of_one_array_that_do_not_overlap_train():
    net, due = network(), network()
    memory = np.zeros((U, 2 * U))
    for i, name in enumerate(("Vz", "Vr")):
        memory[:, i::2] = net.layers[0].p[name]
        net.layers[0].p[name] = memory[:, i::2]
    net.fit(X, Y, epochs=2)
    due.fit(X, Y, epochs=2)
    assert_all_same(net.parameters(), due.parameters())


def test_what_a_callback_puts_there():
    net = network()

    def share(epoch):
        net.layers[1].p["Vz"] = net.layers[0].p["Vz"]

    with pytest.raises(ValueError, match="expected separate memory"):
        net.fit(X, Y, epochs=2, callback=share)
