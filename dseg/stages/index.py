"""Stage `index`: folders of shards -> index.parquet in each."""

from collections.abc import Sequence
from pathlib import Path

from dseg.artifacts.shards import write_index


def run(shards: Sequence[Path]) -> None:
    """Write the index of every folder that these shards lie in.

    Shards that lie beside them but are not among them are removed: they were cut for another
    number of items, and the folder would hold items twice.

    Args:
        shards: All shards of one or more folders.

    Raises:
        DsegError: A shard is missing or not whole, or an item is in two of them.
    """
    for folder in dict.fromkeys(shard.parent for shard in shards):
        for other in folder.glob("*-of-*.safetensors"):
            if other not in shards:
                other.unlink()
        write_index(folder)
