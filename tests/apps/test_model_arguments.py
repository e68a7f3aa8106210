import pytest

from rufous.apps.model_arguments import ModelArgument, parse_models


def test_settings_follow_a_colon():
    text = "runs/a:b/release:steps=4,guidance=1.5,solver=lcm,label=4 steps, after: feedback"
    assert parse_models([text]) == [
        ModelArgument(
            model="runs/a:b/release", steps=4, guidance=1.5, solver="lcm", label="4 steps, after: feedback"
        )
    ]
    assert parse_models(["world-teacher"]) == [ModelArgument(model="world-teacher")]


def test_common_values_fill_in_what_a_model_does_not_say():
    models = parse_models(["a:steps=8", "b"], steps="50", guidance="3,1")
    assert [(each.steps, each.guidance) for each in models] == [(8, 3.0), (50, 1.0)]


@pytest.mark.parametrize(
    ("texts", "steps", "message"),
    [
        (["a:seed=4"], None, "'a:seed=4': seed is unknown: use steps, guidance, solver, label"),
        (["a:steps=4,steps=5"], None, "steps is given twice"),
        (["a:steps=few"], None, "'a:steps=few': steps='few' is no whole number"),
        (["a:guidance=x"], None, "guidance='x' is no number"),
        (["a:label="], None, "label is empty"),
        (["a", "b", "c"], "50,4", "--steps '50,4' has 2 values for 3 models"),
        (["a", "b"], "50,", "--steps '50,': steps='' is no whole number"),
    ],
)
def test_what_is_not_understood_is_refused(texts: list[str], steps: str | None, message: str):
    with pytest.raises(ValueError, match="^.*" + message.replace("(", r"\(")):
        parse_models(texts, steps=steps)
