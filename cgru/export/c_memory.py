"""Measure the memory that exported C code needs on a 32-bit microcontroller: constants, state and stack."""

from __future__ import annotations

import math
import re

__all__ = ["constants", "stack", "state"]

_BYTES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int": 4, "int32_t": 4, "uint32_t": 4, "float": 4}
_BYTES |= {"int64_t": 8, "uint64_t": 8, "double": 8}
_KIND = r"(\w+) \w+(?:\[([^]\n]*)\])?(?=;| =)"  # a type, and of an array how many numbers
# What a step and the functions that it calls have on the stack beside their arrays: registers that they save, numbers
# for which there are too few, and with double the functions of the compiler. The tests measure it.
_BESIDE = {"float": 400, "int16_t": 256, "double": 896}


def constants(code: str, kind: str) -> int:
    """Return the bytes of the constant arrays in C code whose type `real` is `kind`."""
    found = re.findall(r"static (?:ALIGNED )?const (?:union \{ )?" + _KIND, _narrow(code))
    return sum(_size(word, count, kind) for word, count in found)


def state(members: str, kind: str) -> int:
    """Return the size in bytes of a C struct with these members, as `sizeof` would."""
    size, widest = 0, 1
    for word, count in re.findall(_KIND, re.sub(r"const struct \w+ \*", "int ", members)):
        own = _bytes(word, kind)
        widest = max(widest, own)
        size = -(-size // own) * own + _size(word, count, kind)
    return -(-size // widest) * widest


def stack(code: str, kind: str) -> tuple[int, int]:
    """Return the maximum bytes of stack of a step compiled by GCC with -O2 or -Os, and the bytes of its arrays."""
    text = re.sub(r"/\*.*?\*/", "", _narrow(code), flags=re.DOTALL)
    functions = re.findall(r"(?ms)^static (?!ALIGNED)[^\n(]*?(\w+)\([^{}]*\) \{\n(.*?)^\}", text)
    deepest: dict[str, int] = {}  # a function calls those above it
    for name, body in functions:
        own = re.findall(r"(?m)^ +(?:ALIGNED )?" + _KIND, body)
        below = max((deepest[each] for each in re.findall(r"\b(\w+)\(", body) if each in deepest), default=0)
        deepest[name] = below + sum(_size(word, count, kind) for word, count in own if count)
    arrays = max(deepest["advance_here"], deepest["put_here"])
    return arrays + _BESIDE[kind], arrays


def _narrow(code: str) -> str:
    """Return C code with array sizes as on a processor without SIMD, where columns are not padded."""
    kept = r"\2" if "#define PADDED" in code else r"\1"
    return re.sub(r"\bFEW\((\d+), \d+\)", r"\1", re.sub(r"\bWIDTH\((\d+), (\d+)\)", kept, code))


def _bytes(word: str, kind: str) -> int:
    return _BYTES.get(kind if word == "real" else word, 0)


def _size(word: str, count: str, kind: str) -> int:
    """Return the bytes of `count` elements of the C type `word`, "" meaning one; 0 for an unknown type."""
    return _bytes(word, kind) * _count(count or "1")


def _count(text: str) -> int:
    """Return the value of a C expression such as "3 * 8 + 1"."""
    return sum(math.prod(map(int, term.split(" * "))) for term in text.split(" + "))
