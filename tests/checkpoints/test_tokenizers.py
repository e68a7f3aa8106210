import pytest

from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.core.errors import CheckpointError


def test_a_tokenizer_that_is_missing_names_its_file_and_its_address(tmp_path):
    with pytest.raises(CheckpointError, match=r"vocab\.json is missing: looked for .*Get it from https"):
        clip_tokenizer(tmp_path)
