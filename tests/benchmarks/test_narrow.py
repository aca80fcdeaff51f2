"""The comparison of weights of fewer bytes: its options, our own, and what it says."""

import json
import shutil

import pytest

needs_compiler = pytest.mark.skipif(not (shutil.which("cc") and shutil.which("c++")), reason="needs a C++ compiler")


def test_bad_options(refused):
    error = refused("narrow", "--readme", "benchmarks/stream.py")
    assert "expected <!-- narrow --> and then <!-- /narrow -->, once each" in error


@needs_compiler
@pytest.mark.nightly
def test_the_whole_command(run, folder):
    readme = folder / "README.md"
    readme.write_text("# before\n<!-- narrow -->\nold\n<!-- /narrow -->\n# after\n")
    done = run("-m", "benchmarks.narrow", "--seconds", "0.01", "--json", "narrow.json", "--readme", "README.md")
    about, *rows = json.loads((folder / "narrow.json").read_text())["rows"]
    assert done.returncode == bool(about["missing"]), done.stderr
    assert set(about["missing"]) <= {"Eigen", "OpenVINO", "PyTorch"}
    steps, batches = [[row for row in rows if row["part"] == part] for part in ("step", "batch")]
    assert len(steps) == 6
    assert len(batches) == 4
    for row in rows:
        assert row["ratio"].keys() == {"int8", "bfloat16"}
        close = {name.split()[1]: value for name, value in row["dB"].items() if name.startswith("cgru ")}
        assert 35 < close["int8"] < 60
        assert 50 < close["bfloat16"] < 80
        assert row["dB"]["cgru from C" if row["part"] == "step" else "cgru"] > 110
    section = readme.read_text()
    assert section.startswith("# before\n<!-- narrow -->\nOne core of")
    assert section.count("best other / int8") == 2
