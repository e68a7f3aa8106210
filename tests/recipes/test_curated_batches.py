from dataclasses import replace

import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.data.bucket_sampler import SamplerConfig
from rufous.recipes.curated_batches import CacheConfig, CuratedDataConfig, open_curated, read_clips
from rufous.recipes.processes import joined
from tests.recipes.conftest import CPU
from tests.recipes.curated_set import settings, write_curated


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_curated(tmp_path_factory.mktemp("curated"))


@pytest.fixture
def opened(tiny_release, manifest):
    def opened(**changes):
        config = settings(tiny_release, manifest, 1, **changes).data
        with joined(CPU) as alone:
            return open_curated(config, read_clips(config, seed=3), tiny_release, alone)

    return opened


def test_batches_have_one_size_and_the_latents_of_it(opened):
    source = opened().batches(3)
    batches = source.take(len(source.sampler) + 2)
    assert {tuple(batch.latents.shape[1:]) for batch in batches} <= {
        (4, frames, *size) for frames in (1, 4) for size in ((4, 6), (6, 4))
    }
    assert len({batch.latents.shape for batch in batches}) > 2
    for batch in batches:
        assert len(batch) == 2
        assert batch.cond.prompt_embeds.shape[0] == 2
        assert all(prompt.startswith("a ") for prompt in batch.prompts)
        assert set(batch.cond.fps.tolist()) <= {4.0, 8.0}
    source.close()


def test_a_cache_shows_what_each_epoch_would_show_without_it(opened, tmp_path):
    cache = CacheConfig(views=2, dtype="fp32", samples_per_shard=3)
    plain = opened(order=SamplerConfig(redraws=2)).batches(3)
    cached = opened(cache_dir=str(tmp_path / "c"), cache=cache).batches(3)
    count = len(plain.sampler) + len(plain.sampler.plan(1)) + 3
    for one, other in zip(plain.take(count), cached.take(count), strict=True):
        torch.testing.assert_close(one.latents, other.latents, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one.cond.prompt_embeds, other.cond.prompt_embeds, rtol=1e-5, atol=1e-5)
        assert one.prompts == other.prompts
        assert torch.equal(one.cond.fps, other.cond.fps)
    plain.close()
    cached.close()


def test_a_cache_of_other_settings_is_refused_and_an_equal_one_not_written_again(opened, tmp_path):
    folder = {"cache_dir": str(tmp_path / "c")}
    opened(**folder)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()}
    opened(**folder, cache=CacheConfig(check="sizes", reading="streamed"))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()} == times
    with pytest.raises(CheckpointError, match="dtype was 'fp16' and is 'fp32'"):
        opened(**folder, cache=CacheConfig(dtype="fp32"))


def test_each_set_may_have_a_cache_of_its_own(opened, tmp_path):
    for dtype in ("fp16", "fp32", "fp16"):
        opened(cache_dir=str(tmp_path / "c" / "{set}"), cache=CacheConfig(dtype=dtype))
    assert len(list((tmp_path / "c").iterdir())) == 2
    assert all((folder / "made-of.json").is_file() for folder in (tmp_path / "c").iterdir())


def test_clips_that_cannot_be_encoded_are_told_and_others_stand_in(tiny_release, tmp_path):
    manifest = write_curated(tmp_path / "set")
    (manifest.parent / "0.mkv").write_bytes(b"no video")
    config = settings(tiny_release, manifest, 1, cache_dir=str(tmp_path / "c")).data
    with joined(CPU) as alone:
        data = open_curated(config, read_clips(config, seed=3), tiny_release, alone)
    assert [key.endswith("-000000000") for key in data.shards.failed] == [True]
    assert len(data.shards) == 15
    source = data.batches(3)
    assert all(len(batch) == 2 for batch in source.take(2 * len(source.sampler)))
    source.close()


def test_what_does_not_decide_a_run_may_change():
    config = CuratedDataConfig(prefetch=5, num_threads=4, cache=CacheConfig(check="sizes"))
    assert config.settled == CuratedDataConfig().settled
    assert replace(config, cache=CacheConfig(views=2)).settled != config.settled


def test_strides_that_do_not_fit_the_buckets_are_refused():
    with pytest.raises(ValueError, match=r"buckets\.stride=1, but sampling\.strides=\(2, 3\)"):
        CuratedDataConfig(sampling=replace(CuratedDataConfig().sampling, strides=(2, 3)))
    with pytest.raises(ValueError, match="views=0"):
        CacheConfig(views=0)
