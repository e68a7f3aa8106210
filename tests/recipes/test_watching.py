import pytest

from rufous.core.errors import ConfigError
from rufous.recipes.watching import clips_of_each_length


def test_validation_clips_are_shared_out_over_the_lengths():
    assert clips_of_each_length(64, [16, 26]) == {16: 32, 26: 32}
    assert clips_of_each_length(7, [26, 16, 26]) == {26: 3, 16: 4}
    assert clips_of_each_length(1, [16, 16]) == {16: 1}


def test_a_length_that_no_clip_would_show_is_told():
    with pytest.raises(ConfigError, match="1 validation clips cannot show clips of 16 and 26 frames"):
        clips_of_each_length(1, [16, 26])
