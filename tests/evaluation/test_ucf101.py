import pytest

from rufous.evaluation.ucf101 import (
    CLASSES,
    GENERATED,
    REAL,
    plain_prompts,
    read_class_prompts,
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


def test_class_names_are_words_for_a_trial():
    assert plain_prompts()["ApplyLipstick"] == "apply lipstick"
    assert list(plain_prompts()) == list(CLASSES)
