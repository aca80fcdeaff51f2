"""Breaks of Python: operators, comparisons, constants, conditions, keywords, statements, slices, exceptions.

Each replaces one piece of the source, so that the lines before it stay where they are. Annotations, docstrings,
messages of errors and warnings, and f-strings are left alone: wording is not tested.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mutation.breaks import Break

__all__ = ["breaks"]

SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
MESSAGES = {"warn", "print"}  # functions whose arguments are words to read
# Keywords of the same kind, of what holds anyway (`zip(..., strict=True)`), and of what most machines take by default.
LEFT = {"help", "metavar", "title", "description", "label", "strict", "encoding", "stacklevel"}
WORD = re.compile(r"[A-Za-z_][\w.-]*")


def breaks(path: str | Path, text: str) -> list[Break]:
    """Return all breaks of a module, by line."""
    breaker = Breaker(text)
    breaker.visit(ast.parse(text))
    return sorted(breaker.found, key=lambda each: each.line)


def with_(node: ast.AST, **fields: object) -> ast.AST:
    """Return a shallow copy of a node with other fields."""
    return type(node)(**{name: getattr(node, name, None) for name in node._fields} | fields)


class Breaker(ast.NodeVisitor):
    """Visits a module, and collects its breaks in `found`."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.starts = [0]  # of each line, in bytes, as columns of nodes are counted
        for line in self.text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Break] = []

    def replace(self, node: ast.AST, what: str, new: ast.AST | str) -> None:
        """Add the break that puts `new` in the place of a node."""
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        if isinstance(new, ast.AST):
            code = ast.unparse(ast.fix_missing_locations(new))
            new = f"({code})" if isinstance(new, ast.expr) else code
        text = b"".join((self.text[:start], new.encode(), self.text[end:]))
        self.found.append(Break(node.lineno, what, text.decode()))

    def drop(self, statement: ast.stmt) -> None:
        """Add the break without a statement."""
        self.replace(statement, f"no {ast.unparse(statement).splitlines()[0][:60]}", "pass")

    def swap(self, node: ast.AST, operator: ast.AST, changed: ast.AST) -> None:
        """Add the break with another operator."""
        self.replace(node, f"{type(operator).__name__} -> {SWAPS[type(operator)].__name__}", changed)

    def condition(self, test: ast.expr, values: tuple[bool, ...] = (True, False)) -> None:
        """Add the breaks that fix a condition."""
        for value in values:
            self.replace(test, f"condition {value}", str(value))

    def word(self, node: ast.AST | None) -> None:
        """Add the break of a string that is a name: of a key, of an option."""
        for each in node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]:
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and WORD.fullmatch(each.value):
                self.replace(each, f"another {each.value!r}", repr(each.value + "_"))

    # --- what is left alone ---

    def visit_body(self, node: ast.AST) -> None:
        """Visit the statements of a module, class or function, without its docstring."""
        for statement in node.body[ast.get_docstring(node, clean=False) is not None :]:
            self.visit(statement)

    visit_Module = visit_ClassDef = visit_body

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit defaults and body, neither annotations nor decorators."""
        given = node.args.posonlyargs + node.args.args
        with_defaults = given[len(given) - len(node.args.defaults) :] + node.args.kwonlyargs
        for parameter, default in zip(with_defaults, node.args.defaults + node.args.kw_defaults, strict=True):
            if default is not None and parameter.arg != "name":  # which errors call the argument
                self.word(default)
                self.visit(default)
        self.visit_body(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Visit the value alone."""
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave f-strings alone, in which nodes had no places up to Python 3.11."""

    # --- statements ---

    def visit_Expr(self, node: ast.Expr) -> None:
        """Drop calls."""
        if not isinstance(node.value, ast.Constant):
            self.drop(node)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        """Drop it."""
        self.drop(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Drop what changes an object; to drop a local variable is to be found out by its next reader."""
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id in ("__all__", "__slots__"):
            return
        if isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
            self.drop(node)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Drop it, and swap its operator."""
        self.drop(node)
        if type(node.op) in SWAPS:
            self.swap(node, node.op, with_(node, op=SWAPS[type(node.op)]()))
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Drop it, or raise another error; its message is left alone."""
        self.drop(node)
        if isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            other = "RuntimeError" if node.exc.func.id != "RuntimeError" else "ValueError"
            self.replace(node.exc.func, f"raises {other}", other)

    def visit_Return(self, node: ast.Return) -> None:
        """Return None."""
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.replace(node.value, "returns None", "None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """Fix the condition."""
        names = {each.id for each in ast.walk(node.test) if isinstance(each, ast.Name)}
        if names & {"TYPE_CHECKING", "_TYPE_CHECKING", "__name__"}:
            return
        self.condition(node.test)
        self.generic_visit(node)

    visit_IfExp = visit_If

    def visit_While(self, node: ast.While) -> None:
        """Never begin."""
        self.condition(node.test, (False,))
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        """Never begin; leave where it went on, and the reverse."""
        self.replace(node.iter, "no turn", "()")
        for each in ast.walk(node):
            if isinstance(each, (ast.Break, ast.Continue)):
                other = "continue" if isinstance(each, ast.Break) else "break"
                self.replace(each, f"{type(each).__name__.lower()} -> {other}", other)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Take all."""
        for test in node.ifs:
            self.condition(test, (True,))
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Catch nothing."""
        if node.type is not None:
            self.replace(node.type, f"no except {ast.unparse(node.type)}", "()")
        for statement in node.body:
            self.visit(statement)

    # --- expressions ---

    def visit_Compare(self, node: ast.Compare) -> None:
        """Swap each operator, and change names that are compared with."""
        for n, operator in enumerate(node.ops):
            ops = [*node.ops[:n], SWAPS[type(operator)](), *node.ops[n + 1 :]]
            self.swap(node, operator, with_(node, ops=ops))
        for operator, each in zip((None, *node.ops), (node.left, *node.comparators), strict=True):
            if not (isinstance(operator, (ast.In, ast.NotIn)) and isinstance(each, ast.Constant)):  # letters, no name
                self.word(each)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Swap the operator."""
        if type(node.op) in SWAPS:
            self.swap(node, node.op, with_(node, op=SWAPS[type(node.op)]()))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swap the operator, and drop each operand."""
        self.swap(node, node.op, with_(node, op=SWAPS[type(node.op)]()))
        for n, value in enumerate(node.values):
            rest = [*node.values[:n], *node.values[n + 1 :]]
            changed = rest[0] if len(rest) == 1 else with_(node, values=rest)
            self.replace(node, f"without {ast.unparse(value)[:60]}", changed)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Drop the operator."""
        if not isinstance(node.operand, ast.Constant):
            self.replace(node, f"without {type(node.op).__name__}", node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Another number."""
        if isinstance(node.value, bool):
            other = not node.value
        elif isinstance(node.value, int):
            other = node.value + 1
        elif isinstance(node.value, float):
            other = node.value * 1.5 + 0.1
        else:
            return
        self.replace(node, f"{node.value} -> {other}", f"({other})")

    def visit_Call(self, node: ast.Call) -> None:
        """Drop each keyword."""
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in MESSAGES:
            return
        for n, keyword in enumerate(node.keywords):
            if keyword.arg and keyword.arg not in LEFT:
                rest = [*node.keywords[:n], *node.keywords[n + 1 :]]
                self.replace(node, f"without {keyword.arg}=", with_(node, keywords=rest))
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Visit the value, but for wording."""
        if node.arg not in LEFT:
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Take the slice from the start, and to the end; another key."""
        if isinstance(node.slice, ast.Slice):
            for end in ("lower", "upper"):
                if getattr(node.slice, end) is not None:
                    changed = with_(node, slice=with_(node.slice, **{end: None}))
                    self.replace(node, f"slice without {end}", changed)
        self.word(node.slice)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        """Another key."""
        for key in node.keys:
            self.word(key)
        self.generic_visit(node)
