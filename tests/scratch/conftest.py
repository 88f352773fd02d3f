"""The sacrificial process, one for all tests of this folder: whatever happened in it, each run begins from a
state of its own.
"""

from collections.abc import Iterator

import pytest

from tests.scratch.sacrifice import Sacrifice, sacrifice


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sacrifice]:
    with sacrifice(tmp_path_factory.mktemp("sacrifice")) as child:
        yield child
