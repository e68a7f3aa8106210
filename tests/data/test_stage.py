from dataclasses import replace

from rufous.data.stage import NeedsFiles, SetStage, Stage, settings_key
from tests.data.small_stages import Brightness, Contrast, Rank


def test_stages_are_told_apart_by_what_they_do():
    assert isinstance(Brightness(), Stage)
    assert not isinstance(Brightness(), SetStage)
    assert isinstance(Rank(), SetStage)
    assert not isinstance(Rank(), Stage)
    assert not isinstance(Brightness(), NeedsFiles)


def test_the_key_is_that_of_name_version_and_settings():
    class Newer(Brightness):
        version = 2

    keys = [settings_key(stage) for stage in (Brightness(), Brightness(gain=2.0), Newer(), Contrast())]
    assert len(set(keys)) == 4
    assert settings_key(replace(Brightness(gain=2.0), gain=1.0)) == keys[0]
    assert len(keys[0]) == 16
