"""What the tests of files share."""

import pytest

from cgru.datasets import read


@pytest.fixture
def reads(tmp_path):
    """Write a text or bytes into a file, and read it."""

    def reads(content, name="data.csv", how=None, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(path, how, **options)

    return reads


@pytest.fixture
def refused(reads, tmp_path):
    """Why a file is not read, after its name."""

    def refused(content, name="data.csv", **options):
        with pytest.raises(ValueError, match=r".") as caught:
            reads(content, name, **options)
        return str(caught.value).removeprefix(f"{tmp_path / name}: ")

    return refused
