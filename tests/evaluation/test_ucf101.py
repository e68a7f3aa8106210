import json

import pytest

from rufous.apps.prompt_files import read_prompts
from rufous.evaluation.ucf101 import (
    CLASSES,
    GENERATED,
    REAL,
    plain_prompts,
    prompts_by_file,
    read_class_prompts,
    write_prompt_list,
)


def test_there_are_101_classes():
    assert len(CLASSES) == len(set(CLASSES)) == 101
    assert (CLASSES[0], CLASSES[-1]) == ("ApplyEyeMakeup", "YoYo")


def test_the_protocol_draws_2048_clips_of_16_frames():
    assert REAL.num_clips == GENERATED.num_clips == 2048
    assert REAL.num_frames == GENERATED.num_frames == 16
    assert (REAL.start, GENERATED.start) == ("random", "first")


def test_prompts_are_read_from_the_users_file(tmp_path):
    path = tmp_path / "prompts.yaml"
    rows = [f'{name}: "Someone, {number}: it is {name}."' for number, name in enumerate(CLASSES)]
    path.write_text("# by hand\n\n" + "\n".join(rows) + "\n")
    prompts = read_class_prompts(path)
    assert list(prompts) == list(CLASSES)
    assert prompts["YoYo"] == "Someone, 100: it is YoYo."
    path.write_text("\n".join(rows[:-2]))
    with pytest.raises(ValueError, match="no prompt for 2 classes: WritingOnBoard, YoYo"):
        read_class_prompts(path)


@pytest.mark.parametrize("line", ["Sleeping: a man asleep", "YoYo:", "just a prompt", "Archery: again"])
def test_lines_that_are_no_class_are_refused_by_their_number(line, tmp_path):
    path = tmp_path / "prompts.yaml"
    path.write_text(f"Archery: a prompt\n{line}\n")
    with pytest.raises(ValueError, match=r"prompts\.yaml, line 2: .* is no line 'ClassName: prompt'"):
        read_class_prompts(path)


def test_the_list_is_one_that_generate_reads(tmp_path):
    path = tmp_path / "ucf101.jsonl"
    write_prompt_list(path, plain_prompts())
    lines = read_prompts(path)
    assert len(lines) == 2424 == len({line.name for line in lines}) == len({line.seed for line in lines})
    assert (lines[25].prompt, lines[25].name) == ("apply lipstick", "ApplyLipstick-01.mp4")
    assert prompts_by_file(plain_prompts())["ApplyLipstick-01.mp4"] == "apply lipstick"
    assert json.loads(path.read_text().splitlines()[0])["seed"] == 0
    with pytest.raises(ValueError, match=r"name the list \.jsonl"):
        write_prompt_list(tmp_path / "list.txt", plain_prompts())
