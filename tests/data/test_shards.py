import json
import tarfile

import pytest
import torch
from safetensors.torch import load

from rufous.core.errors import CheckpointError
from rufous.core.files import sha256_of
from rufous.data.shards import Sample, Shards, write_shards

PLAN = {"00000": ["a-0", "a-1", "a-2"], "00001": ["b-0", "b-1"]}
MADE_OF = {"autoencoder": "x", "settings": {"size": 4}}


def sample(key):
    tensors = {"latents": torch.full((2, 3), float(ord(key[0]) + int(key[-1]))), "mask": torch.tensor([True])}
    return Sample(key, tensors, {"caption": f"clip {key}"})


def make(keys):
    return [sample(key) for key in keys if key != "b-1"], {key: "too short" for key in keys if key == "b-1"}


@pytest.fixture
def cache(tmp_path):
    assert write_shards(tmp_path / "cache", PLAN, make, made_of=MADE_OF) == 2
    return tmp_path / "cache"


@pytest.mark.parametrize("reading", ["mapped", "streamed"])
def test_samples_come_back_by_key_and_in_order(cache, reading):
    shards = Shards(cache, made_of=MADE_OF, reading=reading)
    assert len(shards) == 4
    assert [each.key for each in shards] == ["a-0", "a-1", "a-2", "b-0"] == list(shards.keys)
    for key in reversed(shards.keys):
        found = shards[key]
        assert found.values == {"caption": f"clip {key}"}
        assert all(torch.equal(found.tensors[name], value) for name, value in sample(key).tensors.items())
    with pytest.raises(ValueError, match="no sample b-1: too short"):
        shards["b-1"]
    shards.close()


def test_the_tar_files_have_the_layout_of_webdataset(cache):
    with tarfile.open(cache / "00000.tar") as tar:
        names = tar.getnames()
        assert names == [f"a-{i}.{suffix}" for i in range(3) for suffix in ("safetensors", "json")]
        assert json.load(tar.extractfile("a-1.json")) == {"caption": "clip a-1"}
        assert torch.equal(
            load(tar.extractfile("a-1.safetensors").read())["latents"], sample("a-1").tensors["latents"]
        )
        assert {(entry.mtime, entry.uid) for entry in tar} == {(0, 0)}


def test_only_missing_shards_are_made_and_equal_samples_give_equal_bytes(cache):
    before = {path.name: sha256_of(path) for path in cache.iterdir()}
    assert write_shards(cache, PLAN, lambda keys: pytest.fail("all is there"), made_of=MADE_OF) == 0
    (cache / "00001.json").unlink()  # as if the process had died before its shard was whole
    asked = []
    write_shards(cache, PLAN, lambda keys: (asked.append(keys), make(keys))[1], made_of=MADE_OF)
    assert asked == [PLAN["00001"]]
    assert {path.name: sha256_of(path) for path in cache.iterdir()} == before


def test_a_process_that_dies_in_a_shard_leaves_nothing_half_written(tmp_path):
    def dies(keys):
        def samples():
            yield sample(keys[0])
            raise KeyboardInterrupt

        return (samples(), {}) if keys[0] == "b-0" else make(keys)

    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, PLAN, dies, made_of=MADE_OF)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.json", "00000.tar", "made-of.json"]
    assert write_shards(tmp_path, PLAN, make, made_of=MADE_OF) == 1
    assert len(Shards(tmp_path)) == 4


def test_damage_is_one_error_that_names_every_shard(cache):
    content = bytearray((cache / "00000.tar").read_bytes())
    content[700] ^= 1
    (cache / "00000.tar").write_bytes(content)
    (cache / "00001.tar").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"00000.tar is damaged; 00001.tar is missing or cut off"):
        Shards(cache)
    with pytest.raises(CheckpointError, match=r"cache: 00001.tar is missing or cut off"):
        Shards(cache, check="sizes")
    (cache / "00001.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"00001.json is damaged"):
        Shards(cache)


def test_a_cache_of_other_things_is_refused(cache, tmp_path):
    other = {**MADE_OF, "settings": {"size": 8}}
    with pytest.raises(CheckpointError, match=r"settings.size was 4 and is 8"):
        Shards(cache, made_of=other)
    with pytest.raises(CheckpointError, match=r"settings.size was 4 and is 8"):
        write_shards(cache, PLAN, make, made_of=other)
    with pytest.raises(CheckpointError, match="is of other clips"):
        write_shards(cache, {"00000": ["a-0"]}, make, made_of=MADE_OF)
    with pytest.raises(CheckpointError, match="holds no cache"):
        Shards(tmp_path / "none")


def test_keys_that_webdataset_would_cut_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"key='a\.0'"):
        write_shards(tmp_path, {"0": ["a.0"]}, lambda keys: ([sample("a.0")], {}), made_of={})
