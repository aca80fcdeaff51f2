"""benchmarks/kernels.py for the tests: from its path, since a source tree of cgru may lie beside benchmarks/."""

import importlib.util
import sys
from pathlib import Path

KERNELS, errors = {}, None  # where benchmarks/ does not lie beside the tests
source = Path(__file__).resolve().parent.parent / "benchmarks/kernels.py"
if source.is_file():
    specification = importlib.util.spec_from_file_location("kernel_list_of_benchmarks", source)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # where dataclasses look for it
    specification.loader.exec_module(module)
    KERNELS, errors = module.KERNELS, module.errors
