"""The tables and texts, from rows that were made up."""

import pytest

ABOUT = {
    "part": "about",
    "threads": 1,
    "machine": "a machine",
    "instructions": "avx2",
    "commit": None,
    "date": "2026-01-02",
    "versions": ["cgru 1", "JAX 2"],
    "contenders": {
        "cgru": {"label": "cgru", "dtypes": ["float32", "float64"], "works": ["inference", "training", "step"]},
        "PyTorch": {"label": "PyTorch (reset-after)", "dtypes": ["float32"], "works": ["inference", "training"]},
    },
    "missing": {},
    "peak": {"float32": None, "float64": None},
    "peak_source": "no compiler",
}


def cell(shape, ratio, work="inference", dtype="float32", **more):
    ratios = {"JAX": ratio, "PyTorch": 9.0} if ratio else {}
    row = {"part": "grid", "threads": 1, "dtype": dtype, "work": work, "shape": shape, "flop": 1.0}
    return row | {"ms": {"cgru": 2.0}, "ratio": ratios, "left_out": {}} | more


def update(kind, ratio, layers, units=16, **more):
    row = {"part": "updates", "threads": 1, "dtype": "float32", "kind": kind, "units": units, "layers": layers}
    ms = {"JAX": 3.0, "layers alone": 1.5, "cgru": 2.0}
    return row | {"ms": ms, "ratio": {"JAX": ratio} if ratio else {}, "left_out": {}} | more


@pytest.fixture(scope="module")
def report(module):
    return module("report")


def lines(table):
    return [[text.strip() for text in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("1, 1, 64, 256", "one step of a stream"),
        ("1, 300, 512, 128", "one sample"),
        ("32, 20, 8, 16", "tiny"),
        ("2, 2, 250, 250", "small"),  # 3 Mflop
        ("7, 33, 17, 31, ragged", "tiny"),
        ("33, 50, 13, 61", "small"),
        ("32, 100, 32, 64", "middle"),
        ("50, 100, 64, 110", "large"),  # 574 Mflop
        ("64, 100, 128, 128", "large"),
    ],
)
def test_region(report, shape, name):
    assert report.region({"shape": shape}) == name


def test_regions(report):
    """Means and worst cells of the grid and of random shapes on one thread; what is below 1 is bold."""
    rows = [
        ABOUT,
        cell("32, 20, 8, 16", 4.0),
        cell("30, 20, 8, 16", 1.0, part="random", seed=1),
        cell("30, 20, 8, 16", 0.5, part="random", seed=1, work="training"),
        cell("30, 20, 8, 16", 8.0, part="random", seed=1, work="training"),
        cell("30, 20, 8, 16", None, dtype="float64"),
        cell("31, 20, 8, 16", 0.1, threads=2),
        cell("1, 1, 8, 16", 0.996, work="step", dtype="float64"),
    ]
    heads, _, tiny, step = lines(report.regions(rows))
    assert heads[1:] == ["shapes", *(f"{w}, {d}" for w in ("inference", "training") for d in ("float32", "float64"))]
    assert tiny == ["tiny, under 3 Mflop", "2", "2.00; 1.00", "", "2.00; **0.50**", ""]
    assert step == ["one step of a stream", "1", "", "**1.00**; **1.00**", "", ""]
    assert lines(report.regions([cell("64, 100, 128, 128", 2.0)]))[2][:2] == ["large", "1"]
    assert report.regions([ABOUT, cell("31, 20, 8, 16", 0.1, threads=2)]) == []


def test_random(report):
    rows = [
        cell(f"{i}, 20, 8, 16", ratio, part="random", seed=2) for i, ratio in enumerate((0.5, 0.98, 0.97, 1.0, 2.0))
    ]
    rows += [cell("9, 20, 8, 16", None, part="random", seed=2), cell("7, 7, 7, 7", 0.1)]
    text = report.random(rows)
    assert lines(text[:3])[2] == ["2", "5", "1", "3", f"**{(0.5 * 0.98 * 0.97 * 2) ** 0.2:.2f}**; **0.50**"]
    assert text[3:6] == ["", "The worst ten:", ""]
    worst = lines(text[6:])[2:]
    assert [line[0][0] for line in worst] == ["0", "2", "1", "3", "4"]
    assert worst[0][1:] == ["2", "float32", "inference", "JAX", "**0.50 lost**"]
    rows += [cell(f"{i}, 20, 8, 16", 3.0, part="random", seed=1) for i in range(20)]
    text = report.random(rows)
    assert [line[:4] for line in lines(text[:5])[2:]] == [
        ["1", "20", "0", "0"],
        ["2", "5", "1", "3"],
        ["all", "25", "1", "3"],
    ]
    assert len(text) == 5 + 3 + 2 + 10
    assert report.random([cell("7, 7, 7, 7", 0.1)]) == []


def test_updates(report):
    """Ours first; a library that was left out somewhere is an empty cell there."""
    rows = [update("a", 1.5, 1.2), update("b", 0.9, 3.0, left_out={"Keras": "no"}), update("c", None, 1.0)]
    heads, _, *rest = lines(report.updates(rows))
    assert heads[1:] == ["cgru", "JAX", "Keras", "layers alone", "best rival", "ratio", "over layers"]
    assert rest[0] == ["a", "2", "3", "", "1.5", "JAX", "1.50", "1.20"]
    assert rest[1][5:] == ["JAX", "**0.90 lost**", "3.00"]
    assert rest[2][5:] == ["", "", "1.00"]
    assert report.updates([ABOUT]) == report.update_groups([ABOUT]) == []


def test_update_groups(report):
    """From 16 units on an update may take 1.25 times as long as its layers."""
    rows = [update("", 4.0, 1.25), update("", 1.0, 1.25), update("", 0.5, 9.0, units=15), update("", None, 99.0)]
    _, _, few, many = lines(report.update_groups(rows))
    assert few == ["up to 15 units", "1", "**0.50**; **0.50**", "9.00; 9.00"]
    assert many == ["from 16 units on", "2", "2.00; 1.00", "1.25; 1.25"]
    assert lines(report.update_groups([update("", 4.0, 1.26)]))[2][3] == "1.26; **1.26**"


def test_rows_as_they_come(report, capsys):
    say = report.Printer()
    for row in (
        ABOUT,
        cell("32, 20, 8, 16", 0.5, left_out={"Keras": "no room"}),
        cell("33, 20, 8, 16", 2.0),
        cell("33, 20, 8, 16", 2.0, part="random", seed=5, dtype="float64", work="training"),
        update("a kind", 1.5, 1.2),
        {"part": "memory", "shape": "7, 7, 7, 7", "dtype": "float32", "name": "cgru", "mib": 3},
    ):
        say(row)
    text = capsys.readouterr().out.splitlines()
    assert [line for line in text if line.startswith("##")] == [
        "## float32, inference, one thread",
        "## random shapes of seed 5, float64, training step, one thread",
        "## whole updates, float32, one thread",
    ]
    assert "<!-- Keras left out here: no room -->" in text
    assert "| 33, 20, 8, 16 | 2 |  | JAX | 2.00 |  |" in text
    assert "| a kind | 2 | 3 | 1.5 | JAX | 1.50 | 1.20 |" in text
    assert any(line.endswith("; commit unknown, 2026-01-02") for line in text)
    assert text[-1] == "- measured: memory, 7, 7, 7, 7 float32 cgru"


ROWS = [
    ABOUT | {"peak": {"float32": 120.4, "float64": None}},
    cell("32, 20, 8, 16", 0.5),
    cell("32, 20, 8, 16", 0.5, threads=2, ms={"cgru": 1.0}),
    cell("31, 20, 8, 16", 0.7, part="random", seed=1),
    update("a kind", 1.5, 1.2),
    {"part": "memory", "shape": "7, 7, 7, 7", "dtype": "float32", "name": "cgru", "mib": 3},
]


def test_section(module):
    """A picture and two small tables, and no more."""
    text = module("readme").section(ROWS, "p.png")
    assert "a machine, avx2, FMA peak 120 (float32) GFLOP/s, 2026-01-02, commit unknown: cgru 1, JAX 2.\n" in text
    assert "](p.png)\n" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables[2].startswith("| tiny, under 3 Mflop | 2 | **0.59**; **0.50** |")
    assert tables[-1] == "| from 16 units on | 1 | 1.50; 1.50 | 1.20; 1.20 |"
    assert len(tables) == 6
    text = module("readme").section([ABOUT, cell("32, 20, 8, 16", 2.0)], None)
    assert "a machine, avx2, 2026-01-02" in text
    assert "png" not in text
    assert "updates" not in text


def test_details(module):
    text = module("readme").details(ROWS, "p.png")
    assert text.startswith("# ")
    assert "\n\nTimed with another cell than ours, the only one that it has: PyTorch (reset-after).\n\n" in text
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## By region",
        "## Shape by shape, one thread",
        "## Shapes drawn at random",
        "## Whole updates, ms, one thread",
        "## Threads",
        "## Memory",
        "## Next",
    ]
    assert "| 32, 20, 8, 16 | 2; **0.50 x JAX** |  |  |  |" in text
    assert "| 32, 20, 8, 16 | 2.00 |  |  |  |" in text.partition("## Threads")[2]
    assert "\n\n\n" not in text


def test_a_section_is_rewritten_between_its_markers(module, tmp_path):
    readme, file = module("readme"), tmp_path / "R.md"
    assert readme.markers() == ("<!-- benchmark -->", "<!-- /benchmark -->")
    file.write_text("a\n<!-- x -->\nold\n<!-- /x -->\nb\n")
    readme.rewrite(file, "nüw", "x")
    assert file.read_text(encoding="utf-8") == "a\n<!-- x -->\nnüw\n<!-- /x -->\nb\n"
    for wrong in (
        "",
        "<!-- x -->",
        "<!-- /x --><!-- x -->",
        "<!-- x --><!-- x --><!-- /x -->",
        "<!-- x --><!-- /x --> <!-- /x -->",
    ):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=r"R.md: expected <!-- x --> and then <!-- /x -->, once each"):
            readme.rewrite(file, "new", "x")
        assert file.read_text() == wrong


def test_details_without_a_picture_or_another_cell(module):
    same = ABOUT | {"contenders": {"cgru": ABOUT["contenders"]["cgru"]}}
    text = module("readme").details([same, cell("32, 20, 8, 16", 2.0)], None)
    assert "another cell than ours" not in text
    assert "![" not in text


def test_growth_and_memory(report):
    row = {"part": "growth", "axis": "s", "work": "training", "from": "1, 2, 3, 4", "sizes": [2, 4, 8]}
    rows = [
        row | {"ms": {"cgru": [1.0, 2.0, 4.001]}, "exponent": {"cgru": 1.0}},
        row | {"ms": {"cgru": [1.0, 2.0, 4.0]}, "exponent": {"cgru": 1.0, "JAX": 0.504}},
        {"part": "memory", "shape": "7, 7, 7, 7", "dtype": "float32", "name": "cgru", "mib": 3.4},
        {"part": "memory", "shape": "7, 7, 7, 7", "dtype": "float32", "name": "JAX", "mib": None},
        {"part": "memory", "shape": "7, 7, 7, 7", "dtype": "float64", "name": "JAX", "mib": 9.6},
    ]
    found = lines(report.growth(rows))
    assert found[0][-2:] == ["cgru", "JAX"]
    assert found[2] == ["s = 2 ... 8", "1, 2, 3, 4", "training step", "1 2 4", "1.00", ""]
    assert found[3][-2:] == ["1.00", "0.50"]
    assert lines(report.memory(rows))[2:] == [["7, 7, 7, 7", "float32", "3", ""], ["7, 7, 7, 7", "float64", "", "10"]]
    assert report.growth([ABOUT]) == report.memory([ABOUT]) == []
    assert report.brief(cell("7, 7, 7, 7", None, share=0.5)) == "2; 50%"
