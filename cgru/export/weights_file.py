"""Write the weights of an exported model to a separate file, which `model_init` checks and then uses in place.

The file is a C struct, little-endian: a header of 16 words, then the arrays of all layers, each from a multiple of 64
bytes on. The header ends with a digest of the C that reads the arrays, so that a file made for other code is refused.
The checksum, CRC-32, covers all that follows it.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from string import Template
from typing import Any

import numpy as np

__all__ = ["read_apart", "words_and_contents"]

_MAGIC = b"cgru"
FORMAT = 1  # raised whenever a function of c_products.py reads its weights in another order than before
_ALIGNMENT = 64  # bytes: a line of the cache, a vector of AVX-512


def read_apart(parts: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> list[Any]:
    """Return the parts with their C code changed to read the arrays named in `arrays` from a separate weights file.

    A function that reads weights gets them as its first argument, w.
    """
    names = re.compile(rf"\b(?:{'|'.join(arrays) or '$.'})\b")

    def apart(part: Any) -> Any:
        code, reading = re.sub(r"\*/\n+", "*/\n", names.sub(r"w->\g<0>", part.code)), set()
        for text, name in re.findall(r"(?ms)(^static [^\n(]*?(\w+)\(.*?^})", code):
            if re.search("|".join(["w->", *(rf"\b{each}\(" for each in reading)]), text):
                reading.add(name)
        calls = re.compile(rf"(?m)(^static [^\n(]*)?\b(?:{'|'.join(reading) or '$.'})\(")
        changed = {"code": calls.sub(lambda m: m[0] + ("const weights *w, " if m[1] else "w, "), code)}
        for field in ("result", "step", "begin", "more"):
            text = names.sub(r"state->weights->\g<0>", getattr(part, field))
            changed[field] = calls.sub(r"\g<0>state->weights, ", text)
        return replace(part, **changed)

    return [apart(part) for part in parts]


def _padding(size: int) -> int:
    """Return the number of padding bytes between the end of an array of `size` bytes and the next array."""
    return -size % _ALIGNMENT


def _members(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the members of the C struct of all weights, with explicit padding, so that C adds no padding."""
    lines = [f"uint32_t {name};" for name in ("magic", "checksum", "version", "bytes", "digest[4]", "reserved[8]")]
    for name, values in arrays.items():
        floats = f"struct {{ real values[{values.size}]; }} {name};"
        lines.append(floats if values.dtype.kind == "f" else f"{values.dtype}_t {name}[{values.size}];")
        if padding := _padding(values.nbytes):
            lines.append(f"uint8_t after_{name}[{padding}];")
    return "\n    ".join(lines)


def words_and_contents(
    parts: Sequence[Any], arrays: Mapping[str, np.ndarray], dtype: np.dtype
) -> tuple[dict[str, str], bytes]:
    """Return the templates of the C code for separate weights, by name, and the content of the weights file."""
    declared = _members(arrays)
    data = b"".join(
        values.astype(values.dtype.newbyteorder("<")).tobytes() + bytes(_padding(values.nbytes))
        for values in arrays.values()
    )
    digest = _digest(parts, declared, dtype)
    checked = struct.pack("<2I16s32x", FORMAT, _ALIGNMENT + len(data), digest) + data
    numbers = {
        "magic": f"0x{int.from_bytes(_MAGIC, 'little'):x}u",
        "reversed": f"0x{int.from_bytes(_MAGIC, 'big'):x}u",
        "version_of_format": f"{FORMAT}u",
        "size": str(_ALIGNMENT + len(data)),
        "digest": ", ".join(f"0x{word:x}u" for word in struct.unpack("<4I", digest)),
        "weights": declared,
    }
    texts = {name: Template(text).safe_substitute(numbers) for name, text in _TEXTS.items()}
    return texts, struct.pack("<4sI", _MAGIC, zlib.crc32(checked)) + checked


def _digest(parts: Sequence[Any], declared: str, dtype: np.dtype) -> bytes:
    """Return a hash of 16 bytes of the C code without comments and of the layout of its weights."""
    code = [str(getattr(part, field.name)) for part in parts for field in fields(part) if field.name != "about"]
    text = re.sub(r"/\*.*?\*/|\s", "", "\0".join([*code, declared, dtype.name]), flags=re.DOTALL)
    return hashlib.sha256(text.encode()).digest()[:16]


_TEXTS = {
    "init": "if (${name}_init(&state, weights, bytes) != ${NAME}_OK) return 1;",
    "member": "const struct ${name}_weights *weights;",
    "apart_bytes": ", and $size of the file of weights",
    "apart": """\
/* The file of weights. All that it pads is written out: a compiler adds nothing. */
typedef struct ${name}_weights {
    $weights
} weights;
typedef char size_of_weights[sizeof(weights) == $size ? 1 : -1];

""",
    "init_declared": """\
/* What ${name}_init says of the weights that it is given. */
typedef enum {
    ${NAME}_OK,
    ${NAME}_TOO_SHORT, /* no bytes, or fewer than the file has */
    ${NAME}_MISALIGNED, /* the address is no multiple of sizeof($real) */
    ${NAME}_FOREIGN, /* not a file of weights */
    ${NAME}_BYTE_ORDER, /* this machine is big-endian, the file is not */
    ${NAME}_VERSION, /* a file of another format: export it by the cgru that made this header */
    ${NAME}_OTHER_MODEL, /* a file for other layers, sizes, activations or another dtype */
    ${NAME}_CORRUPT /* a file that was changed: the checksum differs */
} ${name}_error;

/* Begin a sequence with the bytes of a file of weights: the state becomes $start. The weights are not copied, so they
 * must stay where they are, unchanged, while a state has them. After any answer but ${NAME}_OK the state is as before.
 * The checksum takes time: for more states copy one that has just begun. */
${name}_error ${name}_init(${name}_state *state, const void *weights, size_t bytes);
""",
    "initialization": """\
static void begin(${name}_state *state, const weights *given) {
    memset(state, 0, sizeof *state);
    state->weights = given;
    $begin
}

/* CRC-32 */
static uint32_t checksum(const unsigned char *bytes, size_t n) {
    uint32_t sum = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) { sum = (sum >> 1) ^ (0xedb88320u & (0u - (sum & 1u))); }
    }
    return ~sum;
}

${name}_error ${name}_init(${name}_state *state, const void *given, size_t bytes) {
    const weights *w = (const weights *)given;
    static const uint32_t due[4] = {$digest};
    if ((given == NULL) || (bytes < 64u)) { return ${NAME}_TOO_SHORT; }
    if (((uintptr_t)given % sizeof(real)) != 0u) { return ${NAME}_MISALIGNED; }
    if (w->magic == $reversed) { return ${NAME}_BYTE_ORDER; }
    if (w->magic != $magic) { return ${NAME}_FOREIGN; }
    if (w->version != $version_of_format) { return ${NAME}_VERSION; }
    if ((memcmp(w->digest, due, sizeof due) != 0) || (w->bytes != sizeof *w)) { return ${NAME}_OTHER_MODEL; }
    if (bytes < sizeof *w) { return ${NAME}_TOO_SHORT; }
    if (checksum((const unsigned char *)given + 8, sizeof *w - 8u) != w->checksum) { return ${NAME}_CORRUPT; }
    begin(state, w);
    return ${NAME}_OK;
}

void ${name}_reset(${name}_state *state) {
    begin(state, state->weights);
}
""",
}
