"""The command's options: what is asked for, what is refused, and what is done with the rows."""

import json

import pytest


@pytest.fixture(scope="module")
def command(module):
    return module("__main__")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--shape", "3,5,2"], "four positive integers"),
        (["--shape", "3,5,2,0"], "four positive integers"),
        (["--shape", "a,b,c,d"], "four positive integers"),
        (["--shape", "3,5,2,4,rugged"], "four positive integers"),
        (["--rival", "TensorFlow"], "expected one of EpyNN, PyTorch"),
        (["--threads", "0"], "expected a positive integer"),
        (["--random", "0"], "expected a positive integer"),
        (["--random", "3", "--seed", "one"], "--seed: invalid int value"),
        (["--seconds", "0"], "--seconds: expected a positive number, got '0'"),
        (["--seconds", "nan"], "--seconds: expected a positive number, got 'nan'"),
        (["--seconds", "inf"], "--seconds: expected a positive number, got 'inf'"),
        (["--seconds", "long"], "--seconds: expected a positive number, got 'long'"),
        (["--from", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_options(refused, arguments, complaint):
    assert complaint in refused("__main__", *arguments)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["grid", "updates", "growth", "memory", "random"]),
        (["--quick"], ["grid"]),
        (["--shape", "3,5,2,4"], ["grid"]),
        (["--rival", "JAX"], ["grid", "updates", "growth", "memory", "random"]),
        (["--random", "7"], ["random"]),
        (["--updates", "--random", "7"], ["updates", "random"]),
        (["--memory", "--quick"], ["memory"]),
    ],
)
def test_parts(command, arguments, parts):
    assert command.options(arguments).parts == parts


def test_what_is_planned(command, monkeypatch):
    asked = []
    monkeypatch.setattr(command.plan, "jobs", lambda *given, **options: asked.append((given, options)))
    every = {"chosen": None, "quick": False, "random": 30, "seeds": [1]}
    command.planned(command.options(["--grid"]))
    assert asked.pop() == ((["grid"], (), 3.0), every | {"threads": [1, 2]})
    command.planned(command.options(["--quick", "--rival", "onnxruntime"]))
    assert asked.pop() == ((["grid"], ("ONNX Runtime",), 0.15), every | {"threads": [1], "quick": True})
    seeds = ["--seed", "3", "--seed", "4"]
    command.planned(command.options(["--random", "5", *seeds, "--seconds", "0.5", "--threads", "1"]))
    assert asked.pop() == ((["random"], (), 0.5), every | {"threads": [1], "random": 5, "seeds": [3, 4]})


def test_more_threads_than_cores_are_said(command, monkeypatch, capsys):
    monkeypatch.setattr(command.plan, "cores", lambda: 1)
    command.planned(command.options(["--grid"]))
    assert capsys.readouterr().err == "left out: 2 threads, this process may use 1 cores\n"


def job(command, rows, *found):
    class Fake(command.plan.Job):
        def __call__(self):
            return iter(found)

    return Fake(print, (), rows, 10.0)


def test_measure_counts_rows(command, capsys):
    """Rows that a process does not yield are counted too, and what it runs on is none."""
    taken = []
    about, memory = {"part": "about"}, {"part": "memory"}
    jobs = [job(command, 1, about, memory), job(command, 1), job(command, 2, memory, memory)]
    command.measure(jobs, taken.append)
    assert taken == [about, memory, memory, memory]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "4 rows to measure: about a minute"
    assert [line.split(" after")[0] for line in lines[1:]] == [f"{n} of 4 rows" for n in (1, 2, 3, 4)]


def test_numbers_of_several_files(command, tmp_path, capsys):
    """Rows are joined in the files' order, and nothing is written but what is named."""
    for name in ("a", "b"):
        row = {"part": "memory", "shape": name, "dtype": "float32", "name": "cgru", "mib": 3}
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": [row]}))
    files = [part for name in ("b", "a") for part in ("--from", str(tmp_path / f"{name}.json"))]
    assert command.main([*files, "--json", str(tmp_path / "joined.json")]) == 0
    assert [row["shape"] for row in json.loads((tmp_path / "joined.json").read_text())["rows"]] == ["b", "a"]
    assert "| b | float32 | 3 |" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "b.json", "joined.json"]


def test_what_ends_early_is_said(command, monkeypatch, capsys):
    """The rows until then are kept, and the exit status is 1; so it is where a rival was left out."""
    row = {"part": "memory", "shape": "1", "dtype": "float32", "name": "cgru", "mib": 3}

    def fails(jobs, take):
        take(row)
        raise RuntimeError("ended with code 1")

    monkeypatch.setattr(command, "planned", lambda given: [])
    monkeypatch.setattr(command, "measure", fails)
    assert command.main(["--memory"]) == 1
    assert "RuntimeError ended with code 1; what was measured until now:\n" in (text := capsys.readouterr().out)
    assert "| 1 | float32 | 3 |" in text
    for left_out, status in (({}, 0), ({"JAX": "no"}, 1)):
        monkeypatch.setattr(
            command, "measure", lambda jobs, take, left_out=left_out: take(row | {"left_out": left_out})
        )
        assert command.main(["--memory"]) == status


def test_the_picture_as_a_file_names_it(command, tmp_path):
    numbers, plot, beside = tmp_path / "n.json", tmp_path / "pictures" / "p.png", tmp_path / "docs" / "R.md"
    numbers.write_text('{"rows": []}')
    given = command.options(["--from", str(numbers), "--plot", str(plot)])
    assert command.drawn(given, beside) is None
    numbers.with_suffix(".png").touch()
    assert command.drawn(given, beside) == "../n.png"
    plot.parent.mkdir()
    plot.touch()
    assert command.drawn(given, beside) == "../pictures/p.png"
    assert command.drawn(command.options([]), beside) is None


def test_without_a_grid_there_is_no_picture(command, tmp_path, capsys):
    numbers = tmp_path / "n.json"
    numbers.write_text(json.dumps({"rows": []}))
    command.main(["--from", str(numbers), "--plot", str(tmp_path / "p.png")])
    assert "no picture" in capsys.readouterr().out
    assert not (tmp_path / "p.png").exists()
