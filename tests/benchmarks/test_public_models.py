"""The table of public models: its options, what is measured anew, what it says; a small model by itself."""

import json

import pytest

WORK = {"ms": {"after": 5.0, "before": 12.345}, "ratio": 2.469, "share": {"before": 0.9, "after": 0.755}}
ROW = {
    "part": "model", "name": "a GRU", "version": "1.2", "note": "two layers", "commit": "abc",
    "kinds": {"gru": "GRU", "cells.0": "GRUCell", "cells.1": "GRUCell"}, "swapped": ["gru"],
    "left": {"cells.0": "a reason", "cells.1": "a reason"},
    "difference": {"outputs": 2e-7, "gradients": 0.0, "weights": 1.1e-5},
    "training": WORK, "inference": WORK | {"ratio": 0.96},
}  # fmt: skip
MISSING = {
    "part": "model",
    "name": "b",
    "version": "",
    "note": "",
    "commit": "abc",
    "missing": "not installed: pip install b",
}
FAILED = {"part": "model", "name": "c", "version": "3", "note": "", "commit": "abc", "failed": "ValueError: no"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "unrecognized arguments: nowhere"),
        (["--seconds", "0"], "--seconds: expected a positive number, got 0.0"),
        (["--readme", "benchmarks/stream.py"], "expected <!-- public models --> and then <!-- /public models -->"),
    ],
)
def test_bad_options(refused, arguments, complaint):
    assert complaint in refused("public_models", *arguments)


def test_a_model_that_is_not_there(refused):
    pytest.importorskip("torch", reason="no torch")
    error = refused("public_models", "--model", "gtcrn", "--model", "nobody's")
    assert "--model: expected a part of tsai GRU, " in error
    assert 'got "nobody\'s"' in error


def test_what_is_measured_anew(module):
    """Those that were asked for, else all of whom nothing is known at this commit; of others what is known is kept."""
    planned = module("public_models").planned
    before = [{"part": "about"}, ROW, MISSING | {"commit": "old"}, FAILED, ROW | {"name": "gone"}]
    names = dict.fromkeys(["a GRU", "b", "c"], False)
    assert planned(names, before, "abc") == (["b"], {"a GRU": ROW, "c": FAILED})
    assert planned(names | {"c": True}, before, "abc") == (["c"], {"a GRU": ROW})
    assert planned(names, before, "new") == (["a GRU", "b", "c"], {})
    assert planned(names, [], None) == (["a GRU", "b", "c"], {})


def test_a_file_from_before_is_read(module, folder, monkeypatch):
    pytest.importorskip("torch", reason="no torch")
    public = module("public_models")
    monkeypatch.chdir(folder)
    (folder / "public.json").write_text(json.dumps({"rows": [ROW]}))
    given = public.options(["--json", "public.json", "--model", "KERAS", "--seconds", "0.5"])
    assert given.before == [ROW]
    assert [name for name, wanted in given.names.items() if wanted]
    assert all(("keras" in name.lower()) == wanted for name, wanted in given.names.items())
    assert public.options(["--json", "nothing.json"]).before == []


def test_what_is_said(module):
    public = module("public_models")
    heads, _, only = public.table([{"part": "about"}, ROW, MISSING, FAILED])
    assert heads.startswith("| model | swapped; left | training step: ms before; times as fast; GRU | prediction: ms")
    assert only == (
        "| a GRU (1.2; two layers) | GRU; 2 GRUCell | 12.3; 2.47; 90%, 76% | 12.3; **0.96**; 90%, 76%"
        " | 2e-07, 0e+00, **1e-05** |"
    )
    assert public.others([ROW]) == []
    assert public.others([ROW, MISSING, FAILED]) == [
        "", "Not measured:", "", "- b: not installed: pip install b", "- c: ValueError: no",
    ]  # fmt: skip
    assert public.line(MISSING) == "b: not installed: pip install b"
    assert public.line(ROW).splitlines()[1:] == ["    left: cells.0: a reason", "    left: cells.1: a reason"]
    assert public.differences({"outputs": float("nan")}) == "**nan**"
    assert public.changed(ROW | {"swapped": [], "left": {}}) == "none"
    assert public.titled(MISSING) == "b"
    assert public.first_line(ValueError("\none\ntwo")) == "one"
    assert public.first_line(ValueError()) == ""


def test_the_whole_command_keeps_what_is_known(module, folder, monkeypatch, capsys):
    """Models one after another, each written at once; one that ends its process is a row."""
    public = module("public_models")
    monkeypatch.chdir(folder)
    (folder / "page.md").write_text("# before\n<!-- public models -->\nold\n<!-- /public models -->\n# after\n")
    commit = public.machine.commit()
    (folder / "public.json").write_text(json.dumps({"rows": [MISSING | {"commit": commit}]}))
    monkeypatch.setattr(public, "chosen", lambda parts: dict.fromkeys(["a GRU", "b", "c"], False))
    monkeypatch.setattr(public.metadata, "version", lambda name: "1")

    def rows_from(function, name, seconds):
        assert function is public.rows
        if name == "c":
            raise RuntimeError("ended with code -9")
        yield ROW | {"commit": commit}

    monkeypatch.setattr(public, "rows_from", rows_from)
    assert public.main(["--json", "public.json", "--readme", "page.md"]) == 1
    about, *rows = json.loads((folder / "public.json").read_text())["rows"]
    assert about["versions"] == ["torch 1", "numpy 1"]
    assert [row["name"] for row in rows] == ["a GRU", "b", "c"]
    assert rows[2]["failed"] == "ended with code -9"
    page = (folder / "page.md").read_text()
    assert page.startswith("# before\n<!-- public models -->\nMeasured on one core of")
    assert page.endswith("- c: ended with code -9\n<!-- /public models -->\n# after\n")
    assert "c: ended with code -9\n" in capsys.readouterr().out
    monkeypatch.setattr(public, "chosen", lambda parts: {"a GRU": False, "b": False, "c": False})
    monkeypatch.setattr(public, "rows_from", lambda *given: pytest.fail("all is known"))
    assert public.main(["--json", "public.json"]) == 1


# --- one model ---


def tiny(torch, compare):
    """Two GRUs and a cell, one GRU within another module of its kind's name."""

    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = torch.nn.GRU(3, 4, batch_first=True, num_layers=2, dropout=0.5)
            self.cell, self.head = torch.nn.GRUCell(4, 4), torch.nn.Linear(4, 2)

        def forward(self, x):
            y, h = self.gru(x)
            return {"scores": self.head(self.cell(y[:, -1], h[-1])), "kind": torch.ones(1, dtype=int)}

    def build():
        net, x = Tiny(), torch.randn(2, 5, 3)
        return compare.Subject(net, lambda: net(x), lambda: net(x)["scores"].square().mean())

    return build


def test_one_model(module):
    torch = pytest.importorskip("torch", reason="no torch")
    compare = module("public.compare")
    found = compare.compared(tiny(torch, compare), 0.001, compare.Descent)
    names = {*found["swapped"], *found["left"]}
    assert names == {"gru", "cell"}
    assert found["kinds"] == {"gru": "GRU", "cell": "GRUCell"}
    assert found["difference"].keys() == {"outputs", "gradients", "weights"}
    assert all(value < 1e-6 for value in found["difference"].values())
    for work in ("training", "inference"):
        assert found[work]["ms"].keys() == {"before", "after"}
        assert found[work]["ratio"] > 0
        assert all(0 < share <= 1 for share in found[work]["share"].values())


def test_a_model_that_changes_is_seen(module):
    """What is called accelerated and computes something else."""
    torch = pytest.importorskip("torch", reason="no torch")
    compare = module("public.compare")
    theirs, ours = tiny(torch, compare)(), tiny(torch, compare)()
    ours.module.load_state_dict(theirs.module.state_dict())
    with torch.no_grad():
        ours.module.head.bias += 1
    found = compare.differences(theirs, ours)
    assert all(value > 1e-3 for value in found.values())


def test_differences(module):
    torch = pytest.importorskip("torch", reason="no torch")
    compare = module("public.compare")
    a, b = torch.tensor([1.0, -4.0]), torch.tensor([1.0, -4.0, 0.5])
    assert compare.difference([a, b], [a.clone(), b.clone()]) == 0
    assert compare.difference([a, torch.ones(1)], [a, 1.5 * torch.ones(1)]) == 0.125
    assert compare.difference([a], [a * torch.nan]) != compare.difference([a], [a])
    assert all(value != value for value in (compare.difference([], []), compare.difference([a], [b])))


def test_what_a_model_returns(module):
    torch = pytest.importorskip("torch", reason="no torch")
    from torch.nn.utils.rnn import pack_sequence

    compare = module("public.compare")
    packed = pack_sequence([torch.ones(3, 2), torch.ones(1, 2)])
    value = ({"a": torch.ones(2), "b": [packed, None, 3]}, torch.ones(0), torch.ones(2, dtype=int))
    assert [each.shape for each in compare.tensors(value)] == [(2,), (4, 2)]
    assert compare.outermost(["a", "a.b", "ab", "c.d.e", "c.d"]) == ["a", "ab", "c.d"]
    assert compare.outermost(["", "a"]) == [""]


def test_an_update_goes_down(module):
    torch = pytest.importorskip("torch", reason="no torch")
    compare = module("public.compare")
    made, losses = tiny(torch, compare)(), []
    step = compare.update(made, compare.Descent)
    for _ in range(2):
        torch.manual_seed(0)
        step()
        torch.manual_seed(0)
        losses.append(made.loss().item())
    assert losses[1] < losses[0]


def test_what_is_replayed(module, monkeypatch):
    """In training the way back, too, to the inputs that have gradients and to all weights."""
    torch = pytest.importorskip("torch", reason="no torch")
    compare = module("public.compare")
    made, asked = tiny(torch, compare)(), []
    places = [i for i, name in enumerate(dict(made.module.named_modules())) if name in ("gru", "cell")]
    calls = [compare.update(made, compare.Descent), lambda: compare.predicted(made)]
    monkeypatch.setattr(torch.autograd, "grad", lambda *given, **_: asked.append([len(each) for each in given]))
    for call in calls:
        compare.replay(made, places, call)()
    assert asked == [[3, 2 + len(compare.trained(made)), 3]]


def test_the_calls_of_the_grus_are_replayed(module):
    """With the inputs that they had, as leaves; nothing of the model is changed by it."""
    torch = pytest.importorskip("torch", reason="no torch")
    compare = module("public.compare")
    made = tiny(torch, compare)()
    step = compare.update(made, compare.Descent)
    step()
    calls, gru = [], made.module.gru
    made.module.train()
    compare.recorded(gru, "forward", calls)
    made.predict()
    object.__delattr__(gru, "forward")
    ((function, (x,), kwargs),) = calls
    assert x.shape == (2, 5, 3)
    assert x.is_leaf
    assert kwargs == {}
    assert function == gru.forward
    before = [p.detach().clone() for p in made.module.parameters()]
    gradients = [p.grad.clone() for p in made.module.parameters()]
    names = list(dict(made.module.named_modules()))
    again = compare.replay(made, [names.index("gru"), names.index("cell")], lambda: compare.predicted(made))
    again()
    assert "forward" not in vars(gru)
    for p, value, gradient in zip(made.module.parameters(), before, gradients, strict=True):
        assert p.equal(value)
        assert p.grad.equal(gradient)


def test_a_package_that_is_missing_or_breaks(module, monkeypatch):
    pytest.importorskip("torch", reason="no torch")
    public, models = module("public_models"), module("public.models")

    def wants():
        raise ImportError("No module named 'old'\nmore")

    def breaks():
        raise KeyError("x")

    made = {
        "a": models.Model("no-such-package", breaks, ""),
        "b": models.Model("", wants, ""),
        "c": models.Model("", breaks, ""),
    }
    monkeypatch.setattr(models, "MODELS", made)
    said = {name: next(public.rows(name, 0.001)) for name in made}
    assert said["a"]["missing"] == "not installed: pip install no-such-package"
    assert said["b"]["missing"] == "cannot be imported: No module named 'old'"
    assert said["c"]["failed"] == "KeyError: 'x'"


def test_models_written_here(module):
    """That they run, in training and out of it, and that a state comes back at the step that it belongs to."""
    torch = pytest.importorskip("torch", reason="no torch")
    models = module("public.models")
    net = models.Seq2Seq(7, 4)
    source, target = torch.randint(7, (2, 5)), torch.randint(7, (2, 3))
    scores = net(source, target)
    assert scores.shape == (2, 3, 7)
    other = torch.cat([target[:, :2], (target[:, 2:] + 1) % 7], 1)
    assert net(source, other)[:, :2].equal(scores[:, :2])
    assert not net(source, other)[:, 2].equal(scores[:, 2])
    shapes = models.ul_unas().module
    small = [gru for gru in shapes.grus if gru.hidden_size == 4]
    assert sum(1 + gru.bidirectional for gru in small) == 28
    steps = (
        x.shape[1] * (1 + gru.bidirectional) for gru, x in zip(shapes.grus, shapes.inputs, strict=True) if gru in small
    )
    assert sum(steps) == 524
    assert len(models.gtcrn().module.grus) == 14
    assert len(models.MODELS) >= 30
    assert len({made.package for made in models.MODELS.values()}) >= 15
