"""setup.py, compiling nothing: ways to build; .ci/sanitize; nightly, all modules by each compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / "setup.py"
# Runs setup.py with what would build put aside, and prints what it asks for.
ASK = """
import json, runpy, sys
import Cython.Build, setuptools
asked = {}
Cython.Build.cythonize = lambda modules, **options: asked.update(modules=modules, build=options["build_dir"])
setuptools.setup = lambda **options: asked.update(options)
names = runpy.run_path(sys.argv[1])
modules = {each.name: [each.extra_compile_args, each.extra_link_args] for each in asked["modules"]}
base, force = asked["options"]["build"]["build_base"], asked["options"]["build_ext"]["force"]
print(json.dumps([modules, names["flags"]("-O3"), base, asked["build"], force]))
"""

pytest.importorskip("Cython", reason="Cython is not installed")
pytest.importorskip("setuptools.modified", reason="setuptools is not installed, or old")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SETUP.is_file() or sys.platform == "win32", reason="there is no setup.py, or no sanitizer"),
]


def ran(arguments, **environment):
    ours = ("CGRU_DEBUG", "CGRU_SANITIZE", "CFLAGS", "CPPFLAGS", "CPATH", "C_INCLUDE_PATH")  # which setup.py reads
    bare = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, *arguments], cwd=SETUP.parent, env=bare | environment, capture_output=True, text=True
    )


def asked(**environment):
    import json

    done = ran(["-c", ASK, str(SETUP)], **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("address", "-fsanitize=address,undefined,float-cast-overflow"),
        ("thread", "-fsanitize=thread"),
        ("valgrind", "-g1"),
    ],
)
def test_a_sanitizer_is_in_all_modules_and_kernels(kind, flag):
    modules, kernels, base, sources, force = asked(CGRU_SANITIZE=kind)
    assert len(modules) > 20
    for compiled, linked in modules.values():
        assert flag in compiled
        assert flag in linked
        assert "-Wl,-s" not in linked
    assert flag in kernels
    assert (base, sources) == (os.path.join("build", kind), "build")
    assert force


def test_without_one_nothing_is_sanitized():
    modules, kernels, base, sources, force = asked()
    assert "sanitize" not in str([modules, kernels])
    assert (base, sources, force) == ("build", "build", False)


@pytest.mark.slow
def test_ways_to_build_have_folders_of_their_own():
    """What one of them compiled is not taken for the other's."""
    ways = [{}, {"CGRU_DEBUG": "1"}, {"CGRU_SANITIZE": "address"}, {"CGRU_DEBUG": "1", "CGRU_SANITIZE": "address"}]
    assert len({asked(**way)[2] for way in ways}) == len(ways)


MORE = [pytest.param(value, marks=pytest.mark.nightly) for value in ("memory", "ADDRESS", "address,undefined")]


@pytest.mark.parametrize("value", ["undefined", *MORE])
def test_an_unknown_sanitizer_is_refused(value):
    done = ran([str(SETUP), "--version"], CGRU_SANITIZE=value)
    assert done.returncode != 0
    assert f"CGRU_SANITIZE: expected one of address, thread, valgrind, got {value!r}" in done.stderr


@pytest.mark.parametrize("compiler", ["/no/such/gcc -O2", "false"])
@pytest.mark.parametrize("headers", [True, False])
def test_without_a_compiler_it_says_what_to_install_before_cython_runs(tmp_path, compiler, headers):
    bare = f"import sysconfig; sysconfig.get_path = lambda name: {str(tmp_path)!r}\n"
    done = ran(["-c", ASK if headers else bare + ASK, str(SETUP)], CC=compiler)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in (compiler.split()[0], "apt install", "dnf install", "xcode-select --install"))
    assert ("Python.h" in line) != headers
    assert asked(CC="cc")


SANITIZE = SETUP.parent / ".ci" / "sanitize"
# Stands for Python: reports what is read past an array, and where told to something more, or fails, or stops the run.
FAKE = """#!/bin/sh
[ "$1" != -c ] || FAKE=$CANARY
path=${ASAN_OPTIONS#log_path=}
case "$FAKE" in
report|stop) echo overflow >"${path%%:*}.1" ;;
full) echo "WARNING: AddressSanitizer failed to allocate" >"${path%%:*}.1" ;;
fail) exit 3 ;;
esac
[ "$FAKE" != stop ] || kill -TERM "$PPID"
"""


@pytest.mark.skipif(not SANITIZE.is_file() or not shutil.which("gcc"), reason="outside a checkout, or without GCC")
@pytest.mark.parametrize(
    ("what", "code"), [("nothing", 0), ("report", 1), ("fail", 3), ("blind", 1), ("stop", -15), ("full", 0)]
)
@pytest.mark.parametrize("arguments", [["tests"], ["fuzz", "cell"]])
def test_a_report_fails_a_run_that_is_sanitized(tmp_path, arguments, what, code):
    """Whether the process that it is about has failed or not, and where the run was stopped."""
    (tmp_path / "address").mkdir()
    built, python = tmp_path / "address" / "built", tmp_path / "python"
    built.touch()
    os.utime(built, (1e10, 1e10))  # later than any source
    python.write_text(FAKE)
    python.chmod(0o755)
    there = os.environ | {"CGRU_SANITIZED": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    there |= {"FAKE": what, "CANARY": "" if what == "blind" else "report"}
    done = subprocess.run([SANITIZE, "address", *arguments], env=there, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert ("overflow" in done.stdout) == (what in ("report", "stop"))


# Packs two folders by the class that makes an sdist: the same files of other times and rights, made in another order.
PACK = """
import hashlib, os, runpy, sys
import Cython.Build, setuptools
Cython.Build.cythonize, setuptools.setup = lambda *_, **__: [], lambda **options: None
sys.argv.append("dist_info")  # which builds nothing
archive = runpy.run_path(sys.argv[1])["SourceArchive"](setuptools.Distribution())
for folder, names, mode, age in (("one", "ab", 0o600, 9), ("two", "ba", 0o666, 99999)):
    os.makedirs(os.path.join(folder, "cgru"))
    os.chdir(folder)
    for name in names:
        path = os.path.join("cgru", name)
        with open(path, "w") as file:
            file.write(name)
        os.chmod(path, mode)
        os.utime(path, (age, age))
    path = archive.make_archive(os.path.join("dist", "cgru"), "gztar", base_dir="cgru")
    print(hashlib.sha256(open(path, "rb").read()).hexdigest())
    os.chdir("..")
"""


def test_an_sdist_is_the_same_bytes_whenever_and_wherever(tmp_path):
    def packed(moment):
        folder = tmp_path / moment
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", PACK, str(SETUP)],
            cwd=folder,
            env=os.environ | {"SOURCE_DATE_EPOCH": moment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    first, second = packed("1700000000")
    assert first == second
    assert first not in packed("1700000001")


# Builds with Visual Studio's compiler as Windows would, but for the building, and prints what compiles.
ON_WINDOWS = """
import runpy, subprocess, sys, sysconfig, types
import Cython.Build, numpy, setuptools, setuptools.command.build_ext
Cython.Build.cythonize = setuptools.setup = lambda *given, **options: None
setuptools.command.build_ext.build_ext.build_extensions = lambda self: None
here, sys.platform = sys.platform, "win32"
sys.argv.append("dist_info")
Build, sys.platform = runpy.run_path(sys.argv[1])["Build"], here
build = Build.__new__(Build)
build.compiler = types.SimpleNamespace(initialized=True)
build.build_extensions()
print(build.compiler.cc)
"""


def test_windows_builds_with_clang_cl_alone(tmp_path):
    (tmp_path / "clang-cl").touch(0o755)
    assert ran(["-c", ON_WINDOWS, str(SETUP)], PATH=str(tmp_path)).stdout.strip() == str(tmp_path / "clang-cl")
    assert ran(["-c", ON_WINDOWS, str(SETUP)], PATH="", CC="C:/LLVM/clang-cl").stdout.strip() == "C:/LLVM/clang-cl"
    done = ran(["-c", ON_WINDOWS, str(SETUP)], PATH="", CC="")
    assert done.returncode != 0
    assert "Windows: expected clang-cl, of LLVM 19 or newer, on the PATH or in CC, got none" in done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("compiler", ["gcc", "gcc-14", "clang-14", "clang-19"])
def test_a_compiler_has_nothing_to_say_of_any_module(tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"without {compiler}")
    shutil.copytree(SETUP.parent / "cgru", tmp_path / "cgru", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(SETUP.parent / name, tmp_path)
    environment = os.environ | {"CC": compiler, "CFLAGS": "-Wall -Werror"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(list(tmp_path.rglob("*.so"))) > 20


def test_a_comprehension_without_memory_frees_its_item_once():
    """Cython 3.3.1 frees it twice."""
    script = "import runpy, sys, setuptools, Cython.Build\n"
    script += "setuptools.setup = Cython.Build.cythonize = lambda *given, **options: None\n"
    script += "runpy.run_path(sys.argv[1])\nfrom Cython.Compiler.Code import UtilityCode\ntry:\n"
    script += "    print(UtilityCode.load_cached('ListCompAppendAndDecref', 'Optimize.c').impl)\n"
    script += "except KeyError:\n    print('none')"
    done = subprocess.run([sys.executable, "-c", script, SETUP], capture_output=True, text=True, cwd=SETUP.parent)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines() if "Py_DECREF(x);" in line]
    assert all(line == "if (result == 0) Py_DECREF(x);" for line in lines), lines
    assert bool(lines) == ("none" not in done.stdout)
