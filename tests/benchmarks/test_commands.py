"""A short run of each command of benchmarks/ writes its table."""

import importlib.util
import json
import shutil
import sys

import numpy as np
import pytest

HERE = "command.rows_from = lambda function, *given, **_: function(*given)\n"  # in this process
GRID = """
from benchmarks import shapes
from benchmarks.shapes import Shape
shapes.GRID[:] = [Shape(2, 5, 3, 4), Shape(1, 1, 3, 4), Shape(3, 5, 3, 4, ragged=True)]
command.MIDDLE[:] = [Shape(2, 5, 3, 4)]
shapes.drawn = lambda n, seed: [Shape(2, 3, seed, 4)] * n
"""
RESETS = """
from benchmarks.shapes import Shape
command.SHAPE, command.EPISODE, command.COSTS = Shape(3, 9, 4, 5), 3, (Shape(2, 5, 3, 4),)
"""
MANY = """
from functools import partial
from benchmarks.fits.task import Task
command.TOLERANCE = 1  # in the process that measures, too, which imports this file anew
command.FITS.update(memory=20, overhead=3)
command.SPREAD.update(threads=3)
command.EPOCHS = 1
small = {"sizes": (2,), "seeds": 1, "outer": 3, "longest": 40, "epochs": 5}
command.Task = lambda **given: Task(**given or small)
"""
LONG = ["--shape", "4,20,3,5", "--growing", "30", "--rounds", "2"]
SHORT = [part for shape in ("3,5,2,4", "3,5,2,4,ragged", "1,1,2,3") for part in ("--shape", shape)]
EPYNN = ["--rival", "EpyNN", "--seconds", "0.01"]  # one rival, and quickly loaded
COMMANDS = [  # name, section, what makes it short, options, what must be installed, kinds of rows in the JSON file
    ("__main__", "benchmark", "", ["--quick", *EPYNN, *SHORT, "--plot", "out.png"], (), {"grid"}),
    ("__main__", "", "", [*EPYNN, "--memory", "--shape", "64,100,16,64"], (), {"memory"}),
    ("few_rows", "few rows", "command.ROWS, command.STEPS = (2,), (1, 3)\n" + HERE,
     ["--seconds", "0.001", "--units", "5"], ("torch",), {"few rows"}),
    ("inside_torch", "inside torch", GRID + HERE, ["--seconds", "0.001", "--random", "1"], ("torch",), {"pair"}),
    ("long_batches", "long batches", "", LONG, (), ()),
    ("many", "many", MANY, ["--cores", "1", "--seconds", "0.01", "--memory"], ("joblib",), {"whole", "same", "size"}),
    ("narrow", "narrow", "", ["--seconds", "0.01"], ("cc", "c++"), {"step", "batch"}),
    ("overview", "", "", ["--quick", "--picture", "out.svg"], (), ()),
    ("resets", "resets", RESETS + HERE, ["--seconds", "0.001", "--cost"], ("torch",), {"resets", "cost"}),
    ("stream", "stream", "", ["--seconds", "0.01"], ("cc", "c++"), {"stream"}),
    ("ulp", "ulp", "command.BLOCK = 1 << 29\n", ["--every", "100001"], (), ()),
]  # fmt: skip


LONG_RUNS = ("few_rows", "inside_torch", "many", "narrow", "overview", "resets")  # nightly


@pytest.mark.parametrize(
    ("name", "section", "code", "options", "needs", "parts"),
    [pytest.param(*each, marks=pytest.mark.nightly if each[0] in LONG_RUNS else pytest.mark.slow) for each in COMMANDS],
)
def test_a_short_run_writes_its_table(run, folder, name, section, code, options, needs, parts):
    for each in needs:
        if not (shutil.which(each) or importlib.util.find_spec(each)):
            pytest.skip(f"no {each}")
    page, numbers = folder / "HEREME.md", folder / "out.json"
    page.write_text(f"# before\n<!-- {section} -->\nold\n<!-- /{section} -->\n# after\n")
    options = [*options, *(["--readme", "HEREME.md"] if section else []), *(["--json", "out.json"] if parts else [])]
    last = f'if __name__ == "__main__":\n    sys.exit(command.main({options}))\n'
    (folder / "short.py").write_text(f"import sys\nimport benchmarks.{name} as command\n{code}{last}")
    done = run("short.py")
    assert done.returncode in (0, 1), done.stderr  # 1: a rival was left out
    assert "Traceback" not in done.stderr
    assert "| " in done.stdout
    if section:
        before, text, after = page.read_text().partition(f"<!-- {section} -->\n")
        assert (before, text) != ("", "")
        assert after.endswith(f"<!-- /{section} -->\n# after\n")
        assert "old" not in after.split()
        assert "\n| " in after
    if parts:
        rows = json.loads(numbers.read_text())["rows"]
        assert parts <= {row["part"] for row in rows}
        for row in rows:
            assert not row.get("left_out")
            assert all(map(np.isfinite, row.get("ms", {}).values()))  # one is a rest, below 0 on a busy machine


# --- the public models inside PyTorch ---


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


@pytest.mark.slow
def test_converted(module, folder, monkeypatch):
    """One converts, one is refused, and the package of one is not there, though it imports others that need not be."""
    torch = pytest.importorskip("torch", reason="no torch")
    pytest.importorskip("onnx", reason="no onnx")
    converted = module("converted")
    monkeypatch.setattr("sys.meta_path", [*sys.meta_path])
    monkeypatch.chdir(folder)
    (folder / "page.md").write_text("<!-- converted -->\nold\n<!-- /converted -->\n")
    (folder / "odd.py").write_text(
        "import torch, no_such.part as part\nfrom no_such import Base, decorator\n"
        "class GRU(torch.nn.Module):\n    def __init__(self): super().__init__(); self.gru = torch.nn.GRU(3, 4)\n"
        "    def forward(self, x): return self.gru(x)[0] + x.sum() * part.odd.number if False else self.gru(x)[0]\n"
        "@decorator\nclass Other(Base[int]): pass\n"
    )
    for name in ("own", "own/odd"):
        (folder / name).mkdir(exist_ok=True)
    shutil.move(folder / "odd.py", folder / "own" / "odd" / "__init__.py")
    monkeypatch.syspath_prepend(folder / "own")

    def build(name="odd"):
        return converted.Case(converted.from_package(name, "GRU")(), [torch.randn(7, 2, 3)], (1, 0, 2), (1, 0, 2))

    def refused():
        case = build()
        case.module.forward = lambda x: x.exp()
        return case

    made = {"a": ("torch", "x", build), "b": ("torch", "y", refused), "c": ("no-such-package", "z", build)}
    monkeypatch.setattr(converted, "ARCHITECTURES", {k: converted.Architecture(*v) for k, v in made.items()})
    monkeypatch.setattr(converted, "rows_from", lambda function: function())
    assert converted.main(["--readme", "page.md"]) == 1
    page = (folder / "page.md").read_text()
    cells = {line[2]: line for line in page.splitlines() if line.startswith(("| a", "| b"))}
    assert "refused" not in cells["a"]
    assert "**" not in cells["a"]
    assert cells["b"].count("refused") == 2
    assert "Left out: c (no no-such-package: " in page


@pytest.mark.slow
def test_public_models(module, folder, monkeypatch):
    """Models one after another: one is measured, one is not installed, one fails, one ends its process."""
    torch = pytest.importorskip("torch", reason="no torch")
    public, models, compare = module("public_models"), module("public.models"), module("public.compare")
    monkeypatch.chdir(folder)
    (folder / "page.md").write_text("<!-- public models -->\nold\n<!-- /public models -->\n")
    made = {
        "a": models.Model("", tiny(torch, compare), ""),
        "b": models.Model("no-such-package", tiny(torch, compare), ""),
        "c": models.Model("", lambda: {}["x"], ""),
    }
    monkeypatch.setattr(models, "MODELS", made)
    monkeypatch.setattr(public, "chosen", lambda parts: dict.fromkeys([*made, "d"], False))

    def rows_from(function, name, seconds):
        if name == "d":
            raise RuntimeError("ended with code -9")
        yield from function(name, 0.001)

    monkeypatch.setattr(public, "rows_from", rows_from)
    assert public.main(["--json", "public.json", "--readme", "page.md"]) == 1
    _, a, b, c, d = json.loads((folder / "public.json").read_text())["rows"]
    assert {*a["swapped"], *a["left"]} == a["kinds"].keys() == {"gru", "cell"}
    assert all(value < 1e-6 for value in a["difference"].values())
    assert all(a[work]["ratio"] > 0 for work in ("training", "inference"))
    assert (b["missing"], c["failed"], d["failed"]) == (
        "not installed: pip install no-such-package", "KeyError: 'x'", "ended with code -9",
    )  # fmt: skip
    assert "| a | " in (page := (folder / "page.md").read_text())
    assert "- d: ended with code -9" in page
    if public.machine.commit():  # what is known at this commit is not measured again
        monkeypatch.setattr(public, "rows_from", lambda *given: pytest.fail("all is known"))
        public.main(["--json", "public.json"])
