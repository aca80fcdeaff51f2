"""Exported C keeps five rules of MISRA C:2012, as cppcheck's addon judges: those that docs/inside.md names."""

import json
import re
import shutil
import subprocess

import pytest
from export_cases import every_kind
from helpers import some

import cgru

CPPCHECK = shutil.which("cppcheck")
RULES = ("7.2", "10.4", "12.1", "12.3", "15.6")
# A microcontroller that multiplies pairs, and a processor of which the program chooses vectors: all that #ifdef leaves.
MACHINES = {
    "microcontroller": ("-D__ARM_FEATURE_SIMD32",),
    "x86-64": ("-D__GNUC__", "-D__x86_64__", "-D__SSE2__", "-D__OPTIMIZE__"),
}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CPPCHECK is None, reason="no cppcheck")]


def findings(folder, *options):
    """What cppcheck says of these rules. Of several findings in a line it says one, so the others are off."""
    numbers = (f"{chapter}.{rule}" for chapter in range(1, 23) for rule in range(1, 23))
    off = f"--suppress-rules={','.join(each for each in numbers if each not in RULES)}"
    (folder / "misra.json").write_text(json.dumps({"script": "misra.py", "args": [off]}))
    command = CPPCHECK, "-q", "-j4", f"--addon={folder / 'misra.json'}", "--enable=style", "--std=c99", *options
    done = subprocess.run([*command, *sorted(folder.glob("*.c"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return re.findall(r"^(?!Checking|nofile).*\[(?:misra|internal).*\]$", done.stdout + done.stderr, re.MULTILINE)


def test_each_rule_is_checked(tmp_path):
    (tmp_path / "wrong.c").write_text("""\
unsigned f(unsigned n);
unsigned f(unsigned n) {
    unsigned x = 0x80000000;
    unsigned y = n, z = 1u;
    for (unsigned i = 0u; i < n; i++)
        x += n - y * i;
    return (x + z) * 2;
}
""")
    found = [re.search(r"-([\d.]+)\]$", each)[1] for each in findings(tmp_path)]
    assert sorted(found) == sorted(RULES)


@pytest.mark.parametrize("machine", some(1, [*MACHINES]))
def test_no_layer_breaks_a_rule(tmp_path, machine):
    for name, net, _ in every_kind():
        cgru.export_c(net, tmp_path / f"{name}.c")
        if name in ("floats", "int8"):
            cgru.export_c(net, tmp_path / f"{name}_apart.c", weights="file")
    assert findings(tmp_path, *MACHINES[machine]) == []
