import torch

from rufous.perception.aesthetic import AestheticHead, AestheticMLP


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


def test_the_later_head_has_the_published_names_and_is_one_linear_map():
    head = AestheticMLP()
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items() if "weight" in name}
    assert shapes == {
        "layers.0.weight": (1024, 768),
        "layers.2.weight": (128, 1024),
        "layers.4.weight": (64, 128),
        "layers.6.weight": (16, 64),
        "layers.7.weight": (1, 16),
    }
    a, b = torch.randn(2, 1, 768, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head((a + b) / 2), (head(a) + head(b)) / 2)
