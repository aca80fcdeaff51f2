"""A reader of files under Atheris, which follows the branches that its bytes reach: `python -m fuzz.by_coverage KIND`.

Every further argument goes to libFuzzer, such as `-max_total_time=3600` or a folder of files to begin with.
`pip install atheris`, which has wheels for Linux alone.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cgru"]):
    from fuzz import files


def main(arguments: list[str]) -> None:
    """Fuzz the reader named first, from a whole file on; a finding is left in a file that libFuzzer names."""
    if not arguments or arguments[0] not in files.KINDS:
        sys.exit(
            f"usage: python -m fuzz.by_coverage KIND [OPTION OF LIBFUZZER ...]\nKIND: one of {', '.join(files.KINDS)}"
        )
    kind, *options = arguments
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "whole").write_bytes(files.whole(kind))
        atheris.Setup(["fuzz", *options, folder], lambda content: files.check(kind, content) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
