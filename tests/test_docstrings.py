"""The reference: what docs/api/*.md names has a docstring that tells all of it, with examples that run.

What is named there after `:::` is public, and so are its methods and properties, with those of bases that no page
names, and all that a module's `__all__` names. The rules:

- The first line is one sentence and ends with a period.
- `Args:` has each parameter of the signature and no other. Those of a constructor may be `Attributes:` instead.
- `Returns:` is there unless None is returned, `Raises:` where the body raises. A property needs neither.
- `Examples:` is there. A method has its own, or its name stands in those of its class.
- A method may leave to the method that it overrides whatever is the same.
- An example prints no NumPy scalar as it is, since NumPy 1 and 2 write these differently.
"""

import ast
import doctest
import functools
import importlib
import importlib.util
import inspect
import os
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import cgru

PAGES = sorted((Path(__file__).resolve().parent.parent / "docs" / "api").glob("*.md"))
if not PAGES:
    pytest.skip("docs/ does not lie beside the tests: outside a checkout", allow_module_level=True)

NAMED = [
    (path.name, name) for path in PAGES for name in re.findall(r"^::: (\S+)", path.read_text("utf-8"), re.MULTILINE)
]
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Examples):$", re.MULTILINE)
ENTRY = re.compile(r"^    (\*{0,2}\w[\w.]*(?:, \*{0,2}\w[\w.]*)*):(?: |$)", re.MULTILINE)
LISTED = re.compile(r"^(\w+(?:, \w+)*): ", re.MULTILINE)
EXPORTS = {"c_text", "onnx_node"}  # one of each in most layers, for exporters; `Layer` tells what they do
# What an example imports, and what else asks for a package: the module, and its name in the reason of a skip.
PACKAGES = {
    r"\btorch\b": "torch",
    r"\bkeras\b": "keras",
    r"onnx": "onnx",
    r"cgru\.sklearn|cgru\.report\(|\bsklearn\b": "sklearn",
    r"cgru\.plot\.|matplotlib": "matplotlib",
    r"narwhals|from_frame\(": "narwhals",
    r"polars": "polars",
    r"pandas": "pandas",
}
COMPILED = type(cgru.Stream.step)
METHODS = (type(lambda: None), classmethod, staticmethod, COMPILED)
PROPERTIES = (property, functools.cached_property, type(cgru.Stream.units))


def needed(text):
    """The packages that an object of this name, or an example, needs."""
    wanted = [package for pattern, package in PACKAGES.items() if re.search(pattern, text)]
    return [*wanted, "torch"] if "keras" in wanted else wanted  # its backend here


def missing(text):
    """The package that is needed and not here; "" if none."""
    wanted = needed(text)
    if "keras" in wanted and os.environ.setdefault("KERAS_BACKEND", "torch") != "torch":
        return "Keras on torch"
    return next((package for package in wanted if importlib.util.find_spec(package) is None), "")


def found(name):
    """The object of a dotted name: an attribute of what is imported, else of the module that the name begins with."""
    top, *parts = name.split(".")
    try:
        return functools.reduce(getattr, parts, importlib.import_module(top))
    except AttributeError:  # a module that is imported on demand, or that a function of the same name hides
        module, _, last = name.rpartition(".")
        return getattr(importlib.import_module(module), last)


def text_of(value):
    """The docstring without the signature that Cython puts on top; "" if there is none."""
    value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    value = value.func if isinstance(value, functools.cached_property) else value
    text = inspect.cleandoc(value.__doc__ or "")
    first, _, rest = text.partition("\n")
    is_signature = re.match(r"[\w.]+\(.*\)( -> .*)?$", first) or re.match(r"\w+: [\w.]+$", first)
    return rest.strip() if is_signature else text


def sections(text):
    """The text before the first section, and each section by its name, all entries of two of a name in one."""
    head, *rest = SECTION.split(text)
    parts = {}
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        # an unindented paragraph ends a section
        own, *after = re.split(r"^(?=\S)", body, flags=re.MULTILINE)
        parts[name] = parts.get(name, "") + own
        head += "".join(after)
    return head, parts


def entries(parts, name):
    """The names that a section has an entry for."""
    return [each.strip(" *") for found in ENTRY.findall(parts.get(name, "")) for each in found.split(",")]


def parameters(value):
    """Names of the parameters of a function, a method or a class."""
    if isinstance(value, type):
        if not any({"__init__", "__new__"} & {*vars(base)} for base in ours(value)):
            return []
        try:
            return list(inspect.signature(value).parameters)
        except ValueError:  # a compiled class: its docstring begins with the call
            return signature_in(value.__doc__.partition("\n")[0])
    plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    names = list(inspect.signature(plain).parameters)
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def signature_in(call):
    """Names of the parameters that a call such as `Cell(source, dict fc, *, batch=1)` shows."""
    args = ast.parse(f"def {re.sub(r'[a-z]+ (?=[a-z])', '', call)}: ...").body[0].args
    shown = (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg)
    return [each.arg for each in shown if each]


@functools.cache
def stub(module):
    """Return annotations by qualified name in the stub of a compiled module."""
    path = Path(importlib.import_module(module).__file__)
    tree = ast.parse(path.with_name(path.name.partition(".")[0] + ".pyi").read_text("utf-8"))
    known = {}
    for node in tree.body:
        for each in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(each, ast.FunctionDef):
                name = f"{node.name}.{each.name}" if each is not node else each.name
                known[name] = each.returns and ast.unparse(each.returns)
    return known


def returns(value):
    """Whether a function or method returns something, as its annotation says."""
    value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    if isinstance(value, COMPILED):
        said = stub(value.__module__).get(value.__qualname__)
    else:
        said = inspect.signature(value).return_annotation
    return said not in (None, "None", "NoReturn", inspect.Signature.empty)


def raises(value):
    """Whether the body of a function, or of a class's own constructor, raises; no compiled one says so."""
    if isinstance(value, type):
        value = vars(value).get("__init__")
    value = inspect.unwrap(value.__func__ if isinstance(value, classmethod | staticmethod) else value)
    if not inspect.isfunction(value):
        return False
    try:
        todo = list(ast.parse(textwrap.dedent(inspect.getsource(value))).body[0].body)
    except OSError:  # made by dataclasses
        return False
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(node)
    return False


def ours(of):
    """The classes of this package that `of` inherits from, itself first."""
    return [base for base in of.__mro__ if base.__module__.partition(".")[0] == "cgru"]


@functools.cache
def named_classes():
    """The classes that some page names, but for those that need a package, from which none of ours inherits."""
    return {value for _, name in NAMED if not needed(name) for value in [found(name)] if isinstance(value, type)}


def members(of):
    """Public methods and properties of a class, each with its name; not those of bases that a page names."""
    for base in ours(of):
        if base is of or base not in named_classes():
            for name, value in vars(base).items():
                is_hidden = name.startswith("_") or name in EXPORTS or getattr(of, name, None) is None
                if (
                    not is_hidden
                    and inspect.getattr_static(of, name) is value
                    and isinstance(value, METHODS + PROPERTIES)
                ):
                    yield name, value


def told(of, name, value):
    """The sections of a method, with whatever it leaves to those that it overrides."""
    head, parts = sections(text_of(value))
    whole = dict(parts)
    for base in ours(of):
        inherited = vars(base).get(name)
        if isinstance(inherited, METHODS):
            for section, body in sections(text_of(inherited))[1].items():
                whole[section] = whole.get(section, "") + (body if body not in whole.get(section, "") else "")
    return head, parts, whole


def unless_whole(name, head, parts, whole, arguments, returned, raised, shown):
    """What is missing in a docstring, one line each; `whole` is the sections with those that it may leave to others."""
    first = head.partition("\n")[0]
    if not first.endswith(".") or re.search(r"[.!?] [A-Z]", first):
        yield f"{name}: expected a first line of one sentence that ends with a period, got {first!r}"
    own, known = entries(parts, "Args"), {*entries(whole, "Args"), *entries(whole, "Attributes")}
    for argument in arguments:
        if argument not in known:
            yield f"{name}: Args without {argument}"
    for argument in own:
        if argument not in arguments or own.count(argument) > 1:
            yield f"{name}: Args has {argument}, which is no parameter, or twice"
    for listed in LISTED.findall(head):
        if {*listed.split(", ")} <= {*arguments}:
            yield f"{name}: the paragraph {listed!r} belongs in Args"
    if returned and not {"Returns", "Yields"} & {*whole}:
        yield f"{name}: no Returns"
    if raised and "Raises" not in whole:
        yield f"{name}: no Raises"
    if not shown and ">>> " not in whole.get("Examples", ""):
        yield f"{name}: no Examples"
    for line in parts.get("Examples", "").split("\n"):
        if re.match(r" +[\[({]*np\.\w", line):
            yield f"{name}: an example prints {line.strip()}"


def reports(name, value):
    """What is missing in the docstrings of an object and of its members."""
    head, parts = sections(text_of(value))
    if inspect.ismodule(value):
        first = head.partition("\n")[0]
        if not first:
            yield f"{name}: no docstring"
        for each in value.__all__:
            part = getattr(value, each)
            if callable(part) and part not in named_classes():
                yield from reports(f"{name}.{each}", part)
    elif isinstance(value, type):
        yield from unless_whole(name, head, parts, parts, parameters(value), False, raises(value), False)
        seen = parts.get("Examples", "") + "".join(
            sections(text_of(base))[1].get("Examples", "") for base in ours(value)[1:]
        )
        for each, member in members(value):
            own, its, whole = told(value, each, member)
            if isinstance(member, PROPERTIES):
                own = own if own or member.__doc__ else "A field."  # of `cdef readonly`; a class tells its Attributes
                yield from unless_whole(f"{name}.{each}", own, {}, {}, [], False, False, True)
            else:
                shown = re.search(rf"\b{each}\(", seen)
                about = parameters(member), returns(member), raises(member), shown
                yield from unless_whole(f"{name}.{each}", own, its, whole, *about)
    else:
        yield from unless_whole(name, head, parts, parts, parameters(value), returns(value), raises(value), False)


def examples(name, value):
    """The docstrings of an object and its members: name and text."""
    yield name, text_of(value)
    if inspect.ismodule(value):
        for each in value.__all__:
            if callable(getattr(value, each)) and getattr(value, each) not in named_classes():
                yield from examples(f"{name}.{each}", getattr(value, each))
    elif isinstance(value, type):
        for each, member in members(value):
            yield f"{name}.{each}", text_of(member)


@pytest.fixture
def value(request):
    """The object of a name, unless it needs a package that is not here."""
    name = request.getfixturevalue("name")
    if package := missing(name):
        pytest.skip(f"no {package}")
    return found(name)


@pytest.mark.parametrize("name", [name for _, name in NAMED])
def test_docstring_tells_all(name, value):
    assert not [*reports(name, value)]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # Keras on PyTorch
@pytest.mark.parametrize("name", [name for _, name in NAMED])
def test_examples_run(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    skipped = []
    for each, text in examples(name, value):
        if package := missing("\n".join(line for line in text.split("\n") if re.match(r" *(>>>|\.\.\.) ", line))):
            skipped.append(package)
            continue
        test = doctest.DocTestParser().get_doctest(text, {"np": np, "cgru": cgru}, each, None, None)
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        said = []
        runner.run(test, out=said.append)
        assert not runner.failures, "".join(said)
    if skipped:
        pytest.skip(f"no {skipped[0]}")


@functools.cache
def fitted(name):
    """A small estimator of `cgru.sklearn`, fitted."""
    X = np.arange(40)[:, None] % 2 * np.ones((40, 5))
    return getattr(importlib.import_module("cgru.sklearn"), name)(4, epochs=1, budget=0, random_state=0).fit(X, X[:, 0])


def network():
    """A network that takes three features."""
    net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "identity")], seed=0)
    net.mean, net.scale = np.zeros(3), np.ones(3)
    net.make(np.zeros((1, 1, 3)))
    return net


WIDE = np.ones((3, 5, 2))  # X of another number of features than the models above
WRONG = [  # a documented name, whose first part may need a package; a call of it that raises, itself or further down
    *(
        (f"cgru.sklearn.{kind}.{method}", state, lambda model, call=call: call(model))
        for kind in ("GRUClassifier", "GRURegressor")
        for state in ("", kind)
        for method, call in {
            "predict": lambda model: model.predict(WIDE),
            "network_inputs": lambda model: model.network_inputs(WIDE),
        }.items()
    ),
    ("cgru.sklearn.GRUClassifier.fit", "GRUClassifier", lambda model: model.fit(WIDE, np.ones(2))),
    ("cgru.sklearn.GRUClassifier.predict_proba", "", lambda model: model.predict_proba(WIDE)),
    ("cgru.sklearn.GRUClassifier.predict_proba", "GRUClassifier", lambda model: model.predict_proba(WIDE)),
    ("cgru.sklearn.GRURegressor.fit", "GRURegressor", lambda model: model.fit(WIDE, np.ones(2))),
    ("cgru.sklearn.GRURegressor.predict_quantiles", "", lambda model: model.predict_quantiles(WIDE)),
    ("cgru.sklearn.GRURegressor.predict_quantiles", "GRURegressor", lambda model: model.predict_quantiles(WIDE)),
    ("cgru.Network.make", None, lambda: cgru.Network([cgru.GRU(4), cgru.Dense(2)]).make(np.zeros((1, 5)))),
    ("cgru.Network.standardized", None, lambda: network().standardized(WIDE)),
    ("cgru.Network.predict", None, lambda: network().predict(WIDE)),
    ("cgru.Network.evaluate", None, lambda: network().evaluate(WIDE, np.ones((3, 2)))),
    ("cgru.Network.fit", None, lambda: network().fit(WIDE, np.ones((3, 2)), epochs=1)),
    ("cgru.load", None, lambda: cgru.load("missing.npz")),
    *(
        (f"cgru.losses.{name}", None, lambda name=name: getattr(cgru.losses, name)(np.ones((3, 1)), np.ones(3)))
        for name in ("mean_squared_error", "huber", "poisson", "binary_cross_entropy")
    ),
    (
        "cgru.losses.quantile",
        None,
        lambda: cgru.losses.quantile(np.ones((3, 3)), np.ones((3, 1)), quantiles=(0.1, 0.9)),
    ),
    ("cgru.losses.gaussian", None, lambda: cgru.losses.gaussian(np.ones((3, 3)), np.ones((3, 1)))),
    ("cgru.reference.forward", None, lambda: cgru.reference.forward({"Vz": np.ones((4, 4))}, WIDE)),
    ("cgru.reference.forward", None, lambda: cgru.reference.forward(network().layers[0].p, WIDE)),
]


@pytest.mark.parametrize(("name", "state", "call"), WRONG)
def test_what_is_raised_further_down_is_named_in_raises(name, state, call, tmp_path, monkeypatch):
    """`raises` above sees what a body raises itself.

    state: the estimator whose fitted one the call gets, "" for one that is not fitted; None: it gets nothing.
    """
    if package := missing(name):
        pytest.skip(f"no {package}")
    monkeypatch.chdir(tmp_path)
    given = [] if state is None else [fitted(state) if state else found(name.rpartition(".")[0])()]
    owner = found(name.rpartition(".")[0])
    *_, whole = told(owner, name.rpartition(".")[2], found(name)) if isinstance(owner, type) else ({},)
    due = set(entries(whole or sections(text_of(found(name)))[1], "Raises"))
    with pytest.raises(Exception) as raised:  # noqa: PT011
        call(*given)
    kind = OSError if isinstance(raised.value, OSError) else type(raised.value)  # not a base: NotFittedError has many
    assert kind.__name__ in due


class Careless:
    """What has all the mistakes. Two sentences, too

    first: a paragraph for what `Args` should have.

    Args:
        other: is none of its parameters.
    """

    def __init__(self, first, *, second=0):
        raise ValueError(first, second)

    def double(self, x) -> float:
        """Return twice x.

        Examples:
            >>> np.float64(2.5)
            np.float64(2.5)
        """
        return 2 * x


def test_each_mistake_is_found():
    Careless.__module__ = "cgru"  # else what it inherits would be Python's
    assert [*reports("Careless", Careless)] == [
        "Careless: expected a first line of one sentence that ends with a period, got "
        "'What has all the mistakes. Two sentences, too'",
        "Careless: Args without first",
        "Careless: Args without second",
        "Careless: Args has other, which is no parameter, or twice",
        "Careless: the paragraph 'first' belongs in Args",
        "Careless: no Raises",
        "Careless: no Examples",
        "Careless.double: Args without x",
        "Careless.double: no Returns",
        "Careless.double: an example prints np.float64(2.5)",
    ]
