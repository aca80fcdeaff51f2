"""What the options ask for, process by process, and what is said of it beforehand."""

import pytest

RIVALS = ("EpyNN", "PyTorch", "JAX", "ONNX Runtime", "OpenVINO", "Keras")
OPTIONS = {"threads": [1], "chosen": None, "quick": False, "random": 30, "seeds": [1]}


@pytest.fixture(scope="module")
def plan(module):
    return module("plan")


@pytest.fixture
def all_installed(plan, monkeypatch):
    monkeypatch.setattr(plan, "find_spec", lambda name: name)


@pytest.fixture
def jobs(plan, all_installed):
    def call(parts, names=(), seconds=3.0, **options):
        return plan.jobs(parts, names, seconds, **(OPTIONS | options))

    return call


def test_cores_that_this_process_may_use(plan, monkeypatch):
    monkeypatch.setattr(plan.os, "sched_getaffinity", lambda process: {0, 4, 7}, raising=False)
    assert plan.cores() == 3
    monkeypatch.delattr(plan.os, "sched_getaffinity")
    monkeypatch.setattr(plan.os, "cpu_count", lambda: None)
    assert plan.cores() == 1


def names(found):
    return [f"{job.function.__module__}.{job.function.__name__}".removeprefix("benchmarks.") for job in found]


def test_grid(jobs, plan, monkeypatch):
    """One process for each number of threads that there are cores for."""
    monkeypatch.setattr(plan, "cores", lambda: 2)
    found = jobs(["grid"], threads=[1, 2, 4])
    assert names(found) == ["grid.rows"] * 2
    assert [job.threads for job in found] == [1, 2]
    steps = sum("step" in shape.works for shape in plan.shapes.GRID)
    assert found[0].rows == 2 * (2 * (len(plan.shapes.GRID) - steps) + steps)
    assert found[0].arguments == (plan.shapes.GRID, (), 3.0)
    one = plan.shapes.Shape(1, 1, 2, 3)
    (found,) = jobs(["grid"], chosen=[one], quick=True)
    assert (found.arguments[0], found.rows) == ([one], 2)
    assert jobs(["grid"], quick=True)[0].arguments[0] == plan.shapes.QUICK


def test_random(jobs, plan):
    """A process a seed, one thread, and EpyNN only where it is asked for."""
    found = jobs(["random"], random=5, seeds=[4, 2], threads=[2])
    assert names(found) == ["grid.rows"] * 2
    assert [job.arguments for job in found] == [(plan.shapes.drawn(5, seed), RIVALS[1:], 3.0, seed) for seed in (4, 2)]
    assert [(job.rows, job.threads) for job in found] == [(20, 1)] * 2
    assert jobs(["random"], ("EpyNN",))[0].arguments[1] == ("EpyNN",)


def test_updates(jobs, plan):
    (found,) = jobs(["updates"], ("JAX",), 2.0)
    assert names([found]) == ["updates.race.rows"]
    assert found.arguments == (plan.kinds.KINDS, ("JAX",), 2.0)
    assert found.rows == len(plan.kinds.KINDS) >= 14
    assert jobs(["updates"], quick=True)[0].arguments[0] == plan.kinds.QUICK


def test_growth_and_memory_say_first_what_they_run_on(jobs, plan):
    found = jobs(["growth"])
    assert names(found) == ["machine.about", "growth.rows"]
    assert [job.rows for job in found] == [0, 6]
    assert found[1].arguments == ((), 0.5)
    found = jobs(["memory"], ("JAX",), chosen=[plan.shapes.Shape(2, 3, 4, 5), plan.shapes.Shape(1, 1, 4, 5)])
    assert names(found) == ["machine.about"] + ["memory.rows"] * 4
    assert [job.arguments[0] for job in found[1:]] == ["cgru", "JAX"] * 2
    assert {job.arguments[1].m for job in found[1:]} == {2}
    assert names(jobs(["memory", "grid"]))[0] == "grid.rows"


def test_estimates(jobs, plan):
    """Time for a cell or, where that is longer, for the least number of calls; what a rival takes to be made, apart."""
    small, large = plan.shapes.Shape(2, 3, 4, 5), plan.shapes.Shape(64, 100, 256, 512)

    def seconds(one, names, each):
        return jobs(["grid"], names, each, chosen=[one])[0].seconds - plan.LOADING

    assert seconds(small, ("JAX",), 3.0) == pytest.approx(4 * (3 + plan.MAKING["JAX"]))
    assert seconds(small, ("JAX", "Keras"), 3.0) == pytest.approx(4 * (3 + plan.MAKING["JAX"] + plan.MAKING["Keras"]))
    calls = 2 * plan.CALLS * 2 * large.flop / plan.SPEED  # of two libraries, in two dtypes; training three times that
    assert seconds(large, ("JAX",), 0.01) == pytest.approx(calls + 3 * calls + 4 * plan.MAKING["JAX"])
    few, many = (jobs(["random"], ("JAX",), random=n)[0].seconds for n in (10, 20))
    assert many > few + 40 * 3
    (found,) = jobs(["updates"], ("JAX", "ONNX Runtime"), 20.0)
    assert found.seconds == pytest.approx(plan.LOADING + found.rows * (20 + 2 * plan.MAKING["JAX"]))
    (found,) = jobs(["updates"], ("JAX",), 1.0)
    assert found.seconds == pytest.approx(plan.LOADING + found.rows * (plan.EPOCHS + 2 * plan.MAKING["JAX"]))
    found = jobs(["growth"], ("JAX",), 6.0)[1]
    assert found.seconds == pytest.approx(plan.LOADING + 36 * (1 + plan.MAKING["JAX"]))
    found = jobs(["memory"], ("JAX",), chosen=[large])[1]
    assert found.seconds == pytest.approx(plan.LOADING / 2 + 9 * large.flop / plan.SPEED)


def test_only_what_is_installed_takes_time(plan, monkeypatch):
    monkeypatch.setattr(plan, "find_spec", lambda name: name == "jax")
    assert plan.installed(()) == plan.installed(("JAX", "Keras")) == ["JAX"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(20, "a minute"), (89, "a minute"), (91, "2 minutes"), (5399, "90 minutes"), (36600, "10.2 hours")],
)
def test_told(plan, seconds, words):
    found = [plan.Job(print, (), 3, seconds - 10), plan.Job(print, (), 4, 10)]
    assert plan.told(found) == f"7 rows to measure: about {words}"


def test_progress_is_ten_lines_where_there_is_no_terminal(module, monkeypatch, capsys):
    clock = iter(range(1000, 9000, 90))
    monkeypatch.setattr(module("progress").time, "monotonic", lambda: next(clock))
    progress = module("progress").Progress(40)
    for done in range(41):
        with progress.aside():
            progress.to(done)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "4 of 40 rows after 1.5 minutes"
    assert lines[-1] == "40 of 40 rows after 15.0 minutes"


def test_progress_is_a_bar_in_a_terminal(module, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    progress = module("progress")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    shown = progress.Progress(7)
    shown.to(3)
    assert "external_write_mode" in repr(shown.aside().func)
    with shown.aside():
        print("a line")
    shown.to(7)
    shown.close()
    assert shown.bar.n == 7
    assert "7/7" in capsys.readouterr().err


def test_progress_without_tqdm(module, monkeypatch, capsys):
    progress = module("progress")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(progress.sys.modules, "tqdm", None)
    progress.Progress(2).to(2)
    assert capsys.readouterr().err == "2 of 2 rows after 0.0 minutes\n"
