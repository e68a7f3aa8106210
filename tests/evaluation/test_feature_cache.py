import torch

from rufous.evaluation.feature_cache import FeatureCache

SETTINGS = {"features": "i3d", "stride": 1}
ROWS = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0])}


def test_rows_come_back_in_another_run(tmp_path):
    cache = FeatureCache(tmp_path, SETTINGS)
    cache.put(ROWS)
    cache.save()
    again = FeatureCache(tmp_path, SETTINGS)
    assert len(again) == 2
    assert torch.equal(again.get("b"), ROWS["b"])
    assert again.get("c") is None
    assert again.path.name.startswith("i3d-")


def test_other_settings_have_another_file(tmp_path):
    cache = FeatureCache(tmp_path, SETTINGS)
    cache.put(ROWS)
    cache.save()
    other = FeatureCache(tmp_path, {**SETTINGS, "stride": 2})
    assert other.path != cache.path
    assert len(other) == 0
    cache.path.rename(other.path)  # even under that name
    assert len(FeatureCache(tmp_path, {**SETTINGS, "stride": 2})) == 0


def test_rows_are_written_by_the_clock(tmp_path):
    cache = FeatureCache(tmp_path, SETTINGS, save_every_s=0.0)
    cache.put(ROWS)
    assert len(FeatureCache(tmp_path, SETTINGS)) == 2
    slow = FeatureCache(tmp_path, {"features": "slow"})
    slow.put(ROWS)
    assert not slow.path.exists()


def test_a_damaged_file_is_begun_anew(tmp_path):
    cache = FeatureCache(tmp_path, SETTINGS)
    cache.path.write_bytes(b"\0" * 50)
    again = FeatureCache(tmp_path, SETTINGS)
    assert len(again) == 0
    again.put(ROWS)
    again.save()
    assert len(FeatureCache(tmp_path, SETTINGS)) == 2


def test_without_a_folder_nothing_is_written():
    cache = FeatureCache(None, SETTINGS)
    cache.put(ROWS)
    cache.save()
    assert (len(cache), cache.path) == (2, None)
