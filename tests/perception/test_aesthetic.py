import torch

from rufous.perception.aesthetic import AestheticHead


def test_a_score_is_a_weighted_sum_of_the_embedding():
    head = AestheticHead(3)
    head.load_state_dict(
        {"weight": torch.tensor([[1.0, -2.0, 4.0]]), "bias": torch.tensor([5.0])}, strict=True
    )
    scores = head(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]))
    torch.testing.assert_close(scores, torch.tensor([6.0, 7.0]))


def test_sizes_are_the_published_ones():
    assert {name: tuple(value.shape) for name, value in AestheticHead().state_dict().items()} == {
        "weight": (1, 768),
        "bias": (1,),
    }
