import pytest

from rufous.evaluation.dimensions.spatial_relationship import SpatialRelationship, position_score
from tests.evaluation.dimensions.seen import LEFT, blank_clip, seeing, thing

RIGHT, HALF = (20.0, 0.0, 30.0, 10.0), (5.0, 0.0, 15.0, 10.0)


@pytest.mark.parametrize(
    ("relation", "other", "expected"),
    [
        ("on the left of", RIGHT, 1.0),
        ("on the right of", RIGHT, 1.0),
        ("on the left of", HALF, 0.3),
        ("on the top of", RIGHT, 0.0),
        ("on the bottom of", (0.0, 20.0, 10.0, 30.0), 1.0),
        ("on the left of", (0.0, 20.0, 10.0, 30.0), 0.0),
        ("on the left of", (20.0, 0.0, 20.0, 0.0), 1.0),
    ],
)
def test_positions_have_the_published_scores(relation, other, expected):
    assert position_score(relation, LEFT, other) == pytest.approx(expected)


def test_an_unknown_relation_is_refused():
    with pytest.raises(ValueError, match="relation '' is unknown"):
        position_score("", LEFT, RIGHT)


def test_the_best_pair_of_a_frame_counts_whichever_is_which():
    wanted = {"object_a": "bicycle", "object_b": "car", "relationship": "on the left of"}
    row = SpatialRelationship(
        detector=seeing([thing("car", LEFT), thing("car", HALF), thing("car", RIGHT)], [thing("car", LEFT)])
    )
    score = row.measure(blank_clip(spatial_relationship={"spatial_relationship": wanted}))
    assert score.details["frame_results"] == [1.0, 0.0, *[0.0] * 14]
    assert (score.value, score.weight) == (1 / 16, 16)
