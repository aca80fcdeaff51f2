"""One page with the network in it, which needs no server: python page.py [page.html]

The network of gestures.npz becomes C by `cgru.export_c`, WebAssembly by clang, and base64 in the page, beside two
strokes of each kind to play. It takes clang, lld and the headers of wasi-libc: apt-get install clang lld wasi-libc
"""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from gestures import NAMES, STEP, strokes
from train import MODEL, TEST, TRAIN, right

import cgru

TEMPLATE = Path(__file__).with_name("template.html")
# Neither a library nor the start of a program is linked: the file holds all it needs. The page's own code puts the
# state, inputs and outputs into the memory that the model exports.
COMPILE = (
    *("clang", "--target=wasm32-wasi", "-O3", "-msimd128", "-mbulk-memory", "-nostartfiles", "-nodefaultlibs"),
    "-Wl,--no-entry,--strip-all,--export=model_init,--export=model_step",
)


def webassembly(net):
    """A module's bytes: it exports its memory, model_init(state) and model_step(state, x, y), and imports nothing."""
    if not (shutil.which("clang") and shutil.which("wasm-ld")):
        raise SystemExit("no compiler for WebAssembly: apt-get install clang lld wasi-libc")
    with tempfile.TemporaryDirectory() as folder:
        cgru.export_c(net, f"{folder}/model.c")
        subprocess.run([*COMPILE, "-o", "model.wasm", "model.c"], cwd=folder, check=True)
        return Path(folder, "model.wasm").read_bytes()


def page(net):
    """The template's text, filled."""
    module = webassembly(net)
    model = {
        "compiler": subprocess.run(["clang", "--version"], capture_output=True, text=True).stdout.splitlines()[0],
        "step": STEP,
        "units": net.layers[0].d["u"],
        "kinds": net.class_names,
        "strokes": examples(),
        "wasm": base64.b64encode(module).decode(),
    }
    words = {
        "model": json.dumps(model, separators=(",", ":")),
        "units": model["units"],
        "pieces": round(1 / STEP),
        "parameters": f"{sum(array.size for array in net.parameters().values()):,}",
        "bytes": f"{len(module):,}",
        "trained": f"{TRAIN * len(NAMES):,}",
        "tested": f"{TEST * len(NAMES):,}",
        "right": f"{100 * np.mean(list(right(net).values())):.1f}",
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: str(words[found[1]]), TEMPLATE.read_text(encoding="utf-8"))


def examples(n=2, seed=3):
    """`n` strokes of each kind, by name, which had no part in the training."""
    drawn, names = strokes(n, seed)
    return {
        kind: [points.tolist() for points, name in zip(drawn, names, strict=True) if name == kind] for kind in NAMES
    }


def main(path="page.html"):
    """Write the page."""
    text = page(cgru.load(MODEL))
    Path(path).write_text(text, encoding="utf-8")
    print(f"{path}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
