import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rufous.core.errors import CheckpointError
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


@dataclass(frozen=True, kw_only=True)
class Weighed(Brightness):
    """Reads a file of weights."""

    weights: str

    def weight_files(self) -> Sequence[Path]:
        if not Path(self.weights).is_file():
            raise CheckpointError(f"{self.weights} is missing")
        return [Path(self.weights)]


def test_weights_that_are_replaced_in_place_make_another_key(tmp_path):
    path = tmp_path / "weights"
    stage = Weighed(weights=str(path))
    keys = [settings_key(stage)]
    for second, content in enumerate((b"first", b"other", b"first")):
        path.write_bytes(content)
        os.utime(path, (second, second))
        keys.append(settings_key(stage))
    assert len(set(keys)) == 3
    assert keys[1] == keys[3]
