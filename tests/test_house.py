"""The code as a whole: its imports, private names, what it keeps between calls, where it decides, how long it is."""

import inspect
import io
import re
import tokenize

import pytest
from house import HOUSE, IMPORT, IMPORTS, SOURCES, code_of, imports, name_of, reached, without

import cgru

if not (HOUSE / "gru.py").is_file():
    pytest.skip("the source does not lie beside the tests", allow_module_level=True)

LINES = 900
# A private name that is made here: a function or class, an attribute of one's own, a variable, what cdef declares.
MADE = re.compile(
    r"(?:\b(?:def|class) +|\b(?:self|cls)\.|^ *)(_(?!_)\w+)(?= *[(:=.]|$)|^ *cp?def .*?\b(_(?!_)\w+)", re.MULTILINE
)
# One that is read from another: after a dot, but for what is one's own.
READ = re.compile(r"(?<!\bself)(?<!\bcls)(?<!\bsuper\(\))\.(_(?!_)\w+)")


MAKERS = {path: {name for found in MADE.findall(code_of(path)) for name in found if name} for path in SOURCES}


TOOLS = re.compile(r"cgru\.(datasets|forecast|reports|plot|cli)\b")


def test_the_library_imports_no_tool():
    """Also not inside a function; the package itself and `python -m cgru` import tools at their first use."""
    doors = {HOUSE / "__init__.py", HOUSE / "__main__.py"}
    library = [path for path in SOURCES if path not in doors and not TOOLS.match(name_of(path))]
    assert len(library) > 100
    found = [(name_of(path), module) for path in library for module, _ in imports(code_of(path))]
    assert [(name, module) for name, module in found if TOOLS.match(module)] == []


def test_no_private_name_of_another_module():
    """Other packages' private names are their own affair, and so is one that this module alone makes."""
    for path in SOURCES:
        code = code_of(path)
        assert [name for _, name in imports(code) if name and re.match("_(?!_)", name)] == [], path
        code = without(IMPORT, code)
        read = {found[1]: code[: found.start()].count("\n") + 1 for found in READ.finditer(code)}
        others = [names for other, names in MAKERS.items() if name_of(other) != name_of(path)] if read else []
        assert [(line, name) for name, line in read.items() if any(name in names for names in others)] == [], path


def test_a_file_has_one_subject():
    """As far as its length tells."""
    files = [path for path in HOUSE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pyi", ".c", ".h")]
    lines = {str(path.relative_to(HOUSE)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count >= LINES} == {}


# --- what modules keep between calls ---

# What `global` names, functions with a cache, containers that begin empty, what is a thread's own; statics of C.
KEPT_IN_PYTHON = re.compile(
    r"^ +global (?P<changed>.+)$|^@(?:functools\.)?(?:lru_)?cache\b.*\n(?:cp?)?def (?P<cached>\w+)"
    r"|^(?:cdef \w+ )?(?P<filled>\w+)(?:: [^=\n]+)? = (?:\{\}|\[\]|[\w.]*(?:set|dict|deque|local|Lock|Dictionary)\(\))",
    re.MULTILINE,
)
KEPT_IN_C = re.compile(
    r"^ *static (?!.*\b(?:const|inline)\b)[\w ]*?(?P<changed>\w+)(?: = [^(;]*)?;"
    r"|^ *static (?!const)(?:\w+ )*struct \{(?:.|\n)*?^\} (?P<filled>\w+);",
    re.MULTILINE,
)


def kept(text, suffix):
    """Return the names of what a module keeps between calls."""
    found = (KEPT_IN_C if suffix in (".c", ".h") else KEPT_IN_PYTHON).finditer(text)
    return {name for each in found for some in each.groups() if some for name in some.split(", ")}


# What modules keep between calls, and why threads may share it: docs/layer.md has the rules for users.
KEPT = {
    "_threads cgru_alone": "core/threads.pyx: an integer that a call reads once; a thread's own",
    "_float32 _float64 _low_precision _most_steps _rows_bytes": "core/kernels.pyx: set at import; later by tests alone",
    "lanes_choice unpacked_choice crew_choice streamed_inputs block_choice": "core/plan.pyx: the same",
    "job crew started registered lock has_job has_pool waits": "core/thread_pool.c: its locks and atomics",
    "KEPT SHARED": "torch/: dicts, whose operations are whole; an array is reused by the thread that made it",
    "NO_FACTOR": "gru.py: stays empty",
    "by_letter _known _is_of_user _method_names": "caches of functools, which lock; nobody changes what they return",
}


def test_what_modules_keep_between_calls_has_a_reason():
    """Threads may run at once, also without a GIL: each name needs a reason in the table above."""
    files = [path for path in HOUSE.rglob("*") if path.suffix in (".py", ".pyx", ".c", ".h")]
    found = set().union(*(kept(path.read_text(encoding="utf-8"), path.suffix) for path in files))
    assert found == {name for names in KEPT for name in names.split()}


def test_file_names_are_unique():
    """But for `__init__`, and a module's `.pxd` and `.pyi`. Headers are included by name from their own folder."""
    files = [path for path in HOUSE.rglob("*.p*") if path.suffix in (".py", ".pyx", ".pxd", ".pyi")]
    files = [path for path in files if path.suffix in (".py", ".pyx") or not path.with_suffix(".pyx").exists()]
    names = [path.stem for path in files if path.stem != "__init__"]
    assert len(names) > 150
    assert sorted({name for name in names if names.count(name) > 1}) == []


# --- circles ---


def children(folder):
    """Return the imports between the children of a folder: files, and folders as a whole; `__init__.py` is ''."""
    start, arrows = name_of(folder / "__init__.py"), {}

    def child(name):
        return name.removeprefix(start).partition(".")[2].partition(".")[0]

    for name, others in IMPORTS.items():
        if name == start or name.startswith(f"{start}."):
            inside = {child(other) for other in others if other == start or other.startswith(f"{start}.")}
            arrows.setdefault(child(name), set()).update(inside - {child(name)})
    return arrows


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in HOUSE.rglob("__init__.py")), ids=lambda path: path.name
)
def test_no_files_and_folders_import_each_other_in_a_circle(folder):
    arrows = children(folder)
    assert arrows
    assert [name for name in arrows if name in reached(name, arrows)] == []


def test_imports_have_whole_names():
    assert [(name, other) for name, others in IMPORTS.items() for other in others if other.startswith(".")] == []


# --- one place for each decision ---

KINDS = "GRU|Dense|Pool|Bidirectional|Embedding|Dropout|Flip|Scale|Clip|Activation"
LOSSES = "cross_entropy|binary_cross_entropy|mean_squared_error|huber|quantile|poisson|gaussian"
PLACES = {  # a decision: the lines of code that take part in it, in at most so many places in so many files
    "which way a call goes": (
        r"\bfew\b(?![.]h| (of|levels))|cgru_batch\b|\bbatch_simd\b(?![.]h)|is_single|batching_limit|skips_packing"
        r"|features_in_lanes|FEATURES_IN_LANES|lie_of|let_lie|\bloose\b|PER_STEP|BATCHED_STEPS"
        r"|samples_in_lanes|SAMPLES_IN_LANES|sums_in_lanes|may_have_lanes|plan[.]layout|SINGLE_SAMPLE"
        r"|(lanes|unpacked)_choice\b|choose_lanes|input_column|call[.]column (==|!=|>)",
        73,
        17,
    ),
    "which GRU it is": (
        r"""reset_after|RESET_AFTER|AFTER\b|(->|[.])after\b|int after\b|chh|CGRU_C\b|"dc"|gates == """
        r"""|resets_after|CGRU_RESET|LAYER_NORM|variant == """,
        60,
        16,
    ),
    "which loss it is": (rf'"({LOSSES})"', 5, 4),
    "which layer it is": (rf"(isinstance|issubclass)\([^)]*\b({KINDS})\b|type\([a-z_]+\) (is|in|==)", 14, 10),
}
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
TOO_LONG = re.compile(r'"""(.*?)"""', re.DOTALL)
ENDS = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.NL)


def blank(found):
    """Return spaces in the place of what was found, its lines kept."""
    return re.sub(r"[^\n]", " ", found[0])


def lines_of_code(text, suffix):
    """Return the lines of a source with blanks in the place of comments and docstrings; other strings stay."""
    if suffix in (".c", ".h"):
        return C_COMMENT.sub(blank, text).split("\n")
    lines = text.split("\n")
    try:
        last, drop = tokenize.NEWLINE, []
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            alone = token.type == tokenize.STRING and last in ENDS and token.string.startswith(('"""', "'''", 'r"""'))
            if alone or token.type == tokenize.COMMENT:
                drop.append((token.start, token.end))
            if token.type not in (tokenize.NL, tokenize.COMMENT):
                last = token.type
    except (tokenize.TokenError, SyntaxError):  # Cython's own grammar
        return [re.sub(r"(?<!['\"])#.*", "", line) for line in TOO_LONG.sub(blank, text).split("\n")]
    for (top, left), (bottom, right) in reversed(drop):
        for row in range(top, bottom + 1):
            start, end = left if row == top else 0, right if row == bottom else len(lines[row - 1])
            lines[row - 1] = lines[row - 1][:start] + " " * (end - start) + lines[row - 1][end:]
    return lines


def places(pattern, lines):
    """Return the numbers of the lines where the pattern is found, from 1; of adjacent ones the first."""
    hits = [number for number, line in enumerate(lines, 1) if re.search(pattern, line)]
    return [number for number in hits if number - 1 not in hits]


@pytest.fixture(scope="module")
def sources():
    """The lines of code of each file of the package, stubs and C among them."""
    suffixes = (".py", ".pyx", ".pxd", ".pyi", ".c", ".h")
    files = [path for path in sorted(HOUSE.rglob("*")) if path.suffix in suffixes]
    return {path: lines_of_code(path.read_text(encoding="utf-8"), path.suffix) for path in files}


@pytest.mark.parametrize("decision", PLACES)
def test_a_decision_is_taken_in_no_more_places(sources, decision):
    """A count that falls because a word was renamed is no fall: give the pattern the new word."""
    pattern, most, files = PLACES[decision]
    found = {str(path.relative_to(HOUSE)): places(pattern, lines) for path, lines in sources.items()}
    found = {path: numbers for path, numbers in found.items() if numbers}
    assert (sum(map(len, found.values())) <= most, len(found) <= files) == (True, True), found


# The lines of code of each part, at most, by the beginnings of its paths, of which the longest counts. A bound falls
# with the commit that can lower it, and rises only with a reason in the same commit.
PARTS = {
    ("core/",): 8032,
    ("",): 4452,  # the layer, and what is as near to it
    ("layers/",): 1900,
    ("network/",): 6476,
    ("quantized/", "export/", "quantization.py", "integer_layer.py"): 2457,
    ("torch/", "interop/", "keras.py"): 4280,
    ("estimators/", "sklearn.py", "sktime.py", "aeon.py"): 983,
    ("many/", "files/"): 1010,
    ("datasets/",): 1803,
    ("cli/", "__main__.py"): 1307,
    ("forecast/", "reports/", "plot/"): 1407,
}
SLACK = 30


def test_the_base_class_of_layers_stays_small():
    """The original interface aside: see docs/api/layers.md."""
    original = {"compute_shapes", "initialize_parameters", "forward", "backward", "compute_gradients"}
    original |= {"update_parameters", "update_shapes"}
    shown = {name: value for name, value in vars(cgru.layers.Layer).items() if not name.startswith("_")}
    methods = {name for name, value in shown.items() if inspect.isfunction(value)}
    assert len(methods - original) <= 12
    assert len(shown.keys() - methods - {"np_rng", "dtype"}) <= 12


def test_no_part_grows(sources):
    starts, counts = {start: part for part in PARTS for start in part}, dict.fromkeys(PARTS, 0)
    for path, lines in sources.items():
        name = path.relative_to(HOUSE).as_posix()
        counts[starts[max(filter(name.startswith, starts), key=len)]] += sum(1 for line in lines if line.strip())
    assert {part: count for part, count in counts.items() if not PARTS[part] - SLACK <= count <= PARTS[part]} == {}
