import numpy as np
import pytest
from safetensors.numpy import save_file

from dseg.artifacts.shards import (
    read_shard,
    read_shards,
    shard_count,
    shard_name,
    shard_range,
    write_shard,
)
from dseg.errors import DsegError


def arrays(n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (n, 4, 5, 3), dtype=np.uint8),
        "mask": rng.random((n, 4, 5)) > 0.5,
        "soft": rng.random((n, 4, 5)).astype(np.float16),
        "energy": rng.random(n).astype(np.float32),
        "affinity_indices": rng.integers(0, 20, (n, 20, 3), dtype=np.int32),
    }


def names(n, start=0):
    return [f"item-{i:03d}" for i in range(start, start + n)]


def write(path, n=3, start=0, stage="synthesis", settings_hash="0123456789abcdef", **fields):
    write_shard(
        path,
        fields or arrays(n),
        ids=names(n, start),
        kind="images",
        stage=stage,
        settings_hash=settings_hash,
    )
    return path


def folder_of(tmp_path, items=7, per_shard=3):
    count = shard_count(items, per_shard)
    for index in range(count):
        rows = shard_range(items, per_shard, index)
        write(tmp_path / shard_name(index, count), len(rows), rows.start)
    return [tmp_path / shard_name(index, count) for index in range(count)]


def test_round_trip_is_exact(tmp_path):
    fields = arrays(3)
    path = write(tmp_path / "deep" / "folder" / shard_name(0, 1), **fields)
    shard = read_shard(path, kind="images", stage="synthesis")
    assert shard.ids == ("item-000", "item-001", "item-002")
    assert (shard.stage, shard.settings_hash) == ("synthesis", "0123456789abcdef")
    assert shard.fields.keys() == fields.keys()
    for name, array in fields.items():
        assert shard.fields[name].dtype == array.dtype
        np.testing.assert_array_equal(shard.fields[name], array)


def test_layout_in_memory_does_not_matter(tmp_path):
    image = arrays(3)["image"]
    path = write(tmp_path / "a.safetensors", image=np.asfortranarray(image)[:, ::-1])
    np.testing.assert_array_equal(read_shard(path).fields["image"], image[:, ::-1])


def test_equal_content_gives_equal_bytes(tmp_path):
    fields = arrays(3)
    first = write(tmp_path / "a.safetensors", **fields)
    other = write(tmp_path / "b.safetensors", **dict(reversed(fields.items())))
    assert first.read_bytes() == other.read_bytes()


def test_nothing_but_the_shard_is_left(tmp_path):
    path = write(tmp_path / "a.safetensors")
    write(path, 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]
    assert len(read_shard(path).ids) == 2


def test_refused_write_keeps_the_old_shard(tmp_path):
    path = write(tmp_path / "a.safetensors")
    before = path.read_bytes()
    with pytest.raises(DsegError, match="'mask' is"):
        write(path, 3, mask=np.zeros((2, 4), bool))
    assert path.read_bytes() == before


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(1, np.complex64)])
def test_types_that_need_a_pickle_are_refused(tmp_path, array):
    with pytest.raises(DsegError, match="not storable"):
        write(tmp_path / "a.safetensors", 1, field=array)


def test_repeated_ids_and_no_fields_are_refused(tmp_path):
    said = {"kind": "images", "stage": "s", "settings_hash": ""}
    with pytest.raises(DsegError, match="'x' occurs twice"):
        write_shard(tmp_path / "a", {"f": np.zeros(2)}, ids=["x", "x"], **said)
    with pytest.raises(DsegError, match="at least one field"):
        write_shard(tmp_path / "a", {}, ids=["x"], **said)
    for item in ("", "name\udce4"):  # the latter is a file name that is not UTF-8
        with pytest.raises(DsegError, match=r"ids\.0"):
            write_shard(tmp_path / "a", {"f": np.zeros(1)}, ids=[item], **said)


def test_only_the_fields_asked_for_are_read(tmp_path):
    path = write(tmp_path / "a.safetensors")
    assert set(read_shard(path, fields=["mask"]).fields) == {"mask"}
    with pytest.raises(DsegError, match=r"a\.safetensors: no field 'latents', only affinity"):
        read_shard(path, fields=["latents"])


def test_missing_truncated_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(DsegError, match=r"a\.safetensors: no such file"):
        read_shard(path)
    write(path)
    whole = path.read_bytes()
    for length in (0, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DsegError, match=r"a\.safetensors: not a whole safetensors file"):
            read_shard(path)
    save_file({"x": np.zeros(2)}, path)
    with pytest.raises(DsegError, match="not a file of dseg"):
        read_shard(path)


def test_other_kinds_stages_and_versions_are_refused(tmp_path):
    path = write(tmp_path / "a.safetensors")
    with pytest.raises(DsegError, match="content is 'images', expected 'masks': name another"):
        read_shard(path, kind="masks")
    with pytest.raises(DsegError, match="written by stage 'synthesis', expected 'masks'"):
        read_shard(path, stage="masks")
    save_file(
        {"x": np.zeros(1)},
        path,
        {"dseg": '{"schema":99,"stage":"s","settings_hash":"","ids":["a"]}'},
    )
    with pytest.raises(DsegError, match="not of format 3, which this version reads; remove it"):
        read_shard(path)


def test_shards_are_joined_in_the_order_given(tmp_path):
    paths = folder_of(tmp_path)
    joined = read_shards(paths, fields=["energy", "mask"])
    assert list(joined.ids) == names(7)
    assert joined.fields["mask"].shape == (7, 4, 5)
    backwards = read_shards(paths[::-1])
    assert backwards.ids == ("item-006", *names(3, 3), *names(3))
    np.testing.assert_array_equal(backwards.fields["energy"][1:4], joined.fields["energy"][3:6])


def test_shards_that_do_not_belong_together_are_refused(tmp_path):
    first = write(tmp_path / "a.safetensors")
    with pytest.raises(DsegError, match="at least one path"):
        read_shards([])
    with pytest.raises(DsegError, match="occurs twice"):
        read_shards([first, first])
    with pytest.raises(DsegError, match=r"b\.safetensors: written by stage 'masks'"):
        read_shards([first, write(tmp_path / "b.safetensors", start=3, stage="masks")])
    with pytest.raises(DsegError, match=r"c\.safetensors: settings ffff"):
        read_shards([first, write(tmp_path / "c.safetensors", start=3, settings_hash="ffff")])
    wide = {**arrays(3), "energy": np.zeros((3, 2), np.float32)}
    with pytest.raises(DsegError, match=r"d\.safetensors: items of 'energy'"):
        read_shards([first, write(tmp_path / "d.safetensors", start=3, **wide)])


@pytest.mark.parametrize(("items", "per_shard"), [(1, 1), (7, 3), (9, 3), (480, 240), (5, 100)])
def test_ranges_partition_the_items(items, per_shard):
    ranges = [shard_range(items, per_shard, i) for i in range(shard_count(items, per_shard))]
    assert [i for part in ranges for i in part] == list(range(items))
    assert all(len(part) == per_shard for part in ranges[:-1])


def test_bad_sharding_is_refused():
    assert shard_count(0, 4) == 0
    assert shard_name(3, 16) == "00003-of-00016.safetensors"
    for call in (
        lambda: shard_name(4, 4),
        lambda: shard_name(-1, 4),
        lambda: shard_count(3, 0),
        lambda: shard_count(-1, 2),
        lambda: shard_range(7, 3, 3),
    ):
        with pytest.raises(DsegError):
            call()
