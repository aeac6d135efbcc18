"""Whatever the bytes of a file: its reader gives a value or one DsegError, soon, in little memory.

`benchmarks/mutations.py` tries more of the same, each in a process that may be ended.
"""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damaged
from readers import READERS
from resident import memory_growth

from dseg.errors import DsegError

SECONDS, BYTES = 2.0, 500_000_000
SLOW = {"model": 12, "model files": 25, "settings": 20, "settings of a stage": 20}  # examples


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_give_a_value_or_one_error(name: str, tmp_path: Path) -> None:
    paths, read = READERS[name](tmp_path)
    wholes = {path: path.read_bytes() for path in paths}
    for path in paths:
        read(path)  # what is whole is read

    @settings(
        max_examples=SLOW.get(name, 60),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(paths))
        path.write_bytes(data.draw(damaged(wholes[path])))
        begun = time.process_time()
        try:
            with memory_growth() as growth:
                read(path)
        except DsegError as error:
            lines = str(error).split("\n")
            assert len(lines) <= (6 if name.startswith("settings") else 1)
            assert max(map(len, lines)) < 1000
        finally:
            path.write_bytes(wholes[path])
        assert time.process_time() - begun < SECONDS
        assert growth.bytes < BYTES

    tried()
