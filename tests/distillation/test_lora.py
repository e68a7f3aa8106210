import copy
import importlib
import sys
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from rufous.checkpoints.lora import lora_targets
from rufous.core.errors import MissingDependencyError
from rufous.core.types import Conditioning
from rufous.diffusion.denoiser import Denoiser
from rufous.distillation import (
    ConsistencyConfig,
    ConsistencyObjective,
    DistributionMatchingConfig,
    DistributionMatchingObjective,
    GuidanceRange,
    LatentBatch,
)
from rufous.distillation.lora import LoraSettings, add_lora, merged
from rufous.networks.unet3d import (
    UNET_0_7B_GUIDED,
    UNET_0_9B_GUIDED,
    VIDEOCRAFTER2_GUIDED,
    UNet3D,
    UNet3DConfig,
)
from rufous.training import OptimizerConfig, ShuffledBatches, TrainConfig, train
from rufous.training.loop import evaluating
from rufous.training.parallel import shard
from tests.distillation.conftest import SCHEDULE

GUIDED = UNet3DConfig(
    model_channels=8,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(2,),
    num_head_channels=8,
    cross_attention_dim=12,
    norm_groups=4,
    guidance_embed_dim=6,
    temporal_dropout=0.0,
)
EVERYTHING = replace(
    GUIDED,
    attention_resolutions=(1, 2),
    motion_embed_dim=4,
    use_scale_shift_norm=True,
    pooled_prompt=True,
    prompt_queries=2,
    temporal_position="sinusoidal",
    clip_attention=True,
    frame_embedding=True,
)
SMALL = replace(
    GUIDED,
    channel_mult=(1,),
    attention_resolutions=(1,),
    init_attention=False,
    removed_blocks=frozenset({"middle_block"}),
)
RANK_3 = LoraSettings(rank=3)
GUIDANCE = GuidanceRange(1.0, 4.0, 6)


def unet(config: UNet3DConfig = GUIDED) -> UNet3D:
    """Every weight away from its initial zero, but for the guidance embedding, so that every path counts."""
    network = UNet3D(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.3 * noise + (parameter.ndim == 1))
            if name == "time_cond_proj.weight":
                parameter.zero_()
    return network


def conditioning(config: UNet3DConfig, batch: int = 2) -> Conditioning:
    generator = torch.Generator().manual_seed(2)
    width = (config.guidance_embed_dim or 0) + (config.motion_embed_dim or 0)
    return Conditioning(
        prompt_embeds=torch.randn(batch, 5, 12, generator=generator),
        fps=torch.full((batch,), 8.0),
        guidance_embeds=torch.randn(batch, width, generator=generator),
    )


def answer(network: UNet3D) -> torch.Tensor:
    latents = torch.randn(2, 4, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    return network(latents, torch.tensor([500.0, 20.0]), conditioning(network.config))


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def shaken(network):
    """What is trained moves away from where it starts."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in trained(network).values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def values(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize("config", [GUIDED, EVERYTHING])
def test_an_adapted_network_starts_where_the_plain_one_was(config):
    plain, adapted = unet(config), add_lora(unet(config), RANK_3, seed=0)
    assert torch.equal(answer(plain), answer(adapted))
    assert not torch.equal(answer(plain), answer(shaken(adapted)))


def test_every_layer_is_adapted_but_the_whole_ones_and_nothing_else_is_trained():
    network = unet(EVERYTHING)
    names = {name for name, _ in lora_targets(network)} - {"time_cond_proj"}
    add_lora(network, RANK_3, seed=0)
    pairs = {f"{name}.{part}.default.weight" for name in names for part in ("lora_A", "lora_B")}
    assert set(trained(network)) == {*pairs, "time_cond_proj.weight"}
    assert {"input_blocks.0.0", "out.2", "fps_embedding.2"} < names
    assert not [name for name in names if name.startswith("init_attn.0.proj")]  # Conv1d, as published


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("config", [GUIDED, EVERYTHING])
def test_every_up_learns_in_the_first_step_and_every_down_in_the_second(config, checkpointing):
    network = add_lora(unet(config), RANK_3, seed=0)
    network.gradient_checkpointing = checkpointing
    parameters = trained(network)
    optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
    for step in (1, 2):
        optimizer.zero_grad()
        answer(network).square().mean().backward()
        still = {name for name, p in parameters.items() if p.grad is None or not p.grad.any()}
        assert still == ({name for name in parameters if "lora_A" in name} if step == 1 else set())
        optimizer.step()
    assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


@pytest.mark.parametrize("config", [GUIDED, EVERYTHING])
def test_a_merged_network_is_a_plain_one_with_the_same_answers(config):
    adapted = shaken(add_lora(unet(config), LoraSettings(rank=3, alpha=2.0), seed=0)).eval()
    before, mode, learning = values(adapted), adapted.training, set(trained(adapted))
    plain = merged(adapted)
    fresh = UNet3D(config).eval()
    fresh.load_state_dict(plain.state_dict(), strict=True)
    assert repr(plain) == repr(fresh)
    assert all(p.requires_grad for p in plain.parameters())
    assert not hasattr(plain, "peft_config")
    wanted = answer(adapted)
    torch.testing.assert_close(answer(plain), wanted, rtol=1e-5, atol=1e-5 * wanted.abs().max().item())
    assert torch.equal(answer(fresh), answer(plain))
    assert_same_bits(before, adapted.state_dict())
    assert (adapted.training, set(trained(adapted))) == (mode, learning)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert_same_bits(before, adapted.state_dict())


def test_a_merged_network_can_be_adapted_again():
    first = merged(shaken(add_lora(unet(SMALL), RANK_3, seed=0)))
    before = answer(first)
    assert torch.equal(before, answer(add_lora(first, RANK_3, seed=1)))


def test_a_merge_adds_scale_times_up_times_down():
    network = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 2, (1, 2), bias=False))
    add_lora(network, LoraSettings(rank=1, alpha=0.5, trained_whole=()), seed=0)
    linear, conv = network
    state = {
        "0.base_layer.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "0.base_layer.bias": torch.tensor([7.0, 8.0]),
        "0.lora_A.default.weight": torch.tensor([[10.0, 20.0]]),
        "0.lora_B.default.weight": torch.tensor([[1.0], [-1.0]]),
        "1.base_layer.weight": torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]),
        "1.lora_A.default.weight": torch.tensor([[[[10.0, 20.0]]]]),
        "1.lora_B.default.weight": torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1),
    }
    network.load_state_dict(state)
    plain = merged(network)
    assert plain[0].weight.tolist() == [[6.0, 12.0], [-2.0, -6.0]]
    assert plain[0].bias.tolist() == [7.0, 8.0]
    assert plain[1].weight.flatten().tolist() == [6.0, 12.0, -2.0, -6.0]
    assert linear(torch.tensor([1.0, 0.0])).tolist() == [13.0, 6.0]
    assert conv(torch.ones(1, 1, 1, 2)).flatten().tolist() == [18.0, -8.0]


def test_the_weights_of_a_merged_network_keep_their_dtype_and_the_adapters_are_float32():
    network = unet(SMALL).to(torch.bfloat16)
    before = answer(network)
    shaken(add_lora(network, RANK_3, seed=0))
    assert {p.dtype for name, p in trained(network).items() if "lora" in name} == {torch.float32}
    assert not torch.equal(answer(network), before)
    assert {value.dtype for value in merged(network).state_dict().values()} == {torch.bfloat16}


def test_ranks_and_scale_fit_each_layer():
    network = nn.Sequential(nn.Linear(6, 2), nn.Conv2d(16, 8, 3), nn.Conv3d(4, 8, (3, 1, 1)))
    add_lora(network, LoraSettings(rank=4, alpha=2.0), seed=0)
    shapes = {name: tuple(p.shape) for name, p in trained(network).items()}
    assert shapes == {
        "0.lora_A.default.weight": (2, 6),
        "0.lora_B.default.weight": (2, 2),
        "1.lora_A.default.weight": (4, 16, 3, 3),
        "1.lora_B.default.weight": (8, 4, 1, 1),
        "2.lora_A.default.weight": (4, 4, 3, 1, 1),
        "2.lora_B.default.weight": (8, 4, 1, 1, 1),
    }
    assert [layer.scaling["default"] for layer in network] == [0.5, 0.5, 0.5]
    assert LoraSettings().scale == 1.0


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (VIDEOCRAFTER2_GUIDED, 117_142_176),
        (UNET_0_9B_GUIDED, 77_402_784),
        (UNET_0_7B_GUIDED, 65_639_072),
    ],
)
def test_as_many_numbers_are_trained_as_published(config, count):
    with torch.device("meta"):
        network = UNet3D(config)
    add_lora(network, LoraSettings(trained_whole=()), seed=0)
    assert sum(p.numel() for p in trained(network).values()) == count


def test_the_start_depends_on_the_seed_alone():
    state = torch.get_rng_state()
    first = values(add_lora(unet(SMALL), RANK_3, seed=0))
    torch.manual_seed(1)
    again, other = (values(add_lora(unet(SMALL), RANK_3, seed=seed)) for seed in (0, 1))
    assert_same_bits(first, again)
    downs = [name for name in first if "lora_A" in name]
    assert not [name for name in downs if torch.equal(first[name], other[name])]
    torch.set_rng_state(state)
    network = nn.Sequential(nn.Linear(100, 50))
    before = torch.get_rng_state()
    add_lora(network, LoraSettings(rank=50), seed=0)
    assert torch.equal(before, torch.get_rng_state())
    assert network[0].lora_A["default"].weight.std().item() == pytest.approx(1 / 50, rel=0.05)


def test_modules_can_be_trained_whole():
    network = add_lora(nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2)), seed=0)
    assert set(trained(network)) == {f"{i}.lora_{part}.default.weight" for i in ("0.0", "1") for part in "AB"}
    settings = LoraSettings(trained_whole=("0",))
    network = add_lora(nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2)), settings, seed=0)
    assert set(trained(network)) == {"0.0.weight", "0.0.bias", "1.lora_A.default.weight"} | {
        "1.lora_B.default.weight"
    }
    for names in (("time_cond_prj",), ("",)):
        with pytest.raises(ValueError, match=r"trained_whole names \['.*'\]: use names of modules inside"):
            add_lora(unet(SMALL), LoraSettings(trained_whole=names), seed=0)


def test_dropout_is_off_in_eval_mode():
    torch.manual_seed(0)
    network = shaken(add_lora(unet(SMALL).eval(), LoraSettings(rank=3, dropout=0.5), seed=0))
    assert torch.equal(answer(network), answer(network))
    network.train()
    assert not torch.equal(answer(network), answer(network))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), "0 has groups=2"),
        (nn.Conv2d(4, 4, 3, dilation=2), r"dilation=\(2, 2\)"),
        (nn.Conv3d(4, 4, 3, padding=1, padding_mode="replicate"), "'replicate'"),
        (nn.MultiheadAttention(4, 2), "0 reads its layers' weights itself"),
        (nn.Conv1d(4, 4, 1), "no Linear, Conv2d or Conv3d"),
    ],
)
def test_what_lora_would_get_wrong_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        add_lora(nn.Sequential(layer), seed=0)


def test_adapting_twice_and_merging_nothing_are_refused():
    network = add_lora(unet(SMALL), RANK_3, seed=0)
    with pytest.raises(ValueError, match="adapt it once"):
        add_lora(network, RANK_3, seed=0)
    with pytest.raises(ValueError, match="no LoRA to merge"):
        merged(unet(SMALL))


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("nan")}, {"dropout": 1.0}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))}="):
        LoraSettings(**settings)


def test_without_peft_the_module_can_be_imported_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.delitem(sys.modules, "rufous.distillation.lora")
    module = importlib.import_module("rufous.distillation.lora")
    with pytest.raises(MissingDependencyError, match=r"pip install 'rufous\[lora\]'"):
        module.add_lora(nn.Sequential(nn.Linear(2, 2)), seed=0)


# what distils


class Clips:
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(index))


def collate(clips: list[torch.Tensor]) -> LatentBatch:
    return LatentBatch(latents=torch.stack(clips), cond=replace(conditioning(SMALL), guidance_embeds=None))


def denoiser(network: nn.Module) -> Denoiser:
    return Denoiser(network=network, schedule=SCHEDULE, prediction_type="v_prediction")


def make_objective(method: str):
    student = denoiser(add_lora(unet(SMALL), RANK_3, seed=0))
    teacher = denoiser(unet(replace(SMALL, guidance_embed_dim=None)))
    empty = replace(conditioning(SMALL, 1), guidance_embeds=None)
    if method == "consistency":
        return ConsistencyObjective(student, teacher, empty, ConsistencyConfig(guidance=GUIDANCE))
    critic = denoiser(add_lora(unet(SMALL), RANK_3, seed=1))
    config = DistributionMatchingConfig(guidance=GUIDANCE, timesteps=(999.0, 499.0), student_every=2)
    return DistributionMatchingObjective(student, critic, teacher, empty, config)


def test_a_consistency_target_follows_what_is_trained_and_keeps_the_rest():
    objective = make_objective("consistency")
    student, target = objective.trainable, objective.networks["target"]
    assert not trained(target)
    storages = [{p.data_ptr() for p in network.parameters()} for network in (student, target)]
    assert not storages[0] & storages[1]
    start = values(target)
    shaken(student)
    objective.after_step()
    changed = values(student)
    for name, value in target.state_dict().items():
        if name in trained(student):
            torch.testing.assert_close(value, start[name].lerp(changed[name], 0.05))
            assert not torch.equal(value, start[name])
        else:
            assert torch.equal(value, start[name]), name


def run(run_dir, num_steps, objective, name="adamw", dtype="fp32"):
    config = TrainConfig(
        num_steps=num_steps,
        optimizer=OptimizerConfig(name=name, learning_rate=1e-2),
        ema_decay=0.9,
        dtype=dtype,
    )
    batches = ShuffledBatches(Clips(), collate, batch_size=2, seed=3)
    return train(objective, batches, config, run_dir=run_dir).ema


@pytest.mark.parametrize(
    ("method", "name", "dtype"),
    [("consistency", "adamw", "bf16"), ("distribution_matching", "muon", "fp32")],
)
def test_a_resumed_run_gives_the_bits_of_an_unbroken_one(tmp_path, method, name, dtype):
    unbroken, begun, resumed = (make_objective(method) for _ in range(3))
    start = values(unbroken.trainable)
    unbroken_ema = run(tmp_path / "unbroken", 3, unbroken, name, dtype)
    run(tmp_path / "resumed", 2, begun, name, dtype)
    resumed_ema = run(tmp_path / "resumed", 3, resumed, name, dtype)
    weights = unbroken.trainable.state_dict()
    assert_same_bits(weights, resumed.trainable.state_dict())
    averages = unbroken_ema.state_dict()["averages"]
    assert_same_bits(averages, resumed_ema.state_dict()["averages"])
    assert set(averages) == set(trained(unbroken.trainable))
    if method == "consistency":
        assert_same_bits(unbroken.state_dict()["target"], resumed.state_dict()["target"])
    moved = {key for key, value in weights.items() if not torch.equal(value, start[key])}
    assert moved == set(trained(unbroken.trainable))


def test_a_release_is_made_of_the_averaged_weights(tmp_path):
    objective = make_objective("consistency")
    ema = run(tmp_path, 2, objective)
    network = objective.trainable
    with evaluating(network, ema):
        made = merged(network)
    averages = ema.state_dict()["averages"]
    assert torch.equal(made.time_cond_proj.weight, averages["time_cond_proj.weight"])
    assert not torch.equal(made.time_cond_proj.weight, network.time_cond_proj.weight)
    up, down = (averages[f"out.2.lora_{part}.default.weight"].flatten(1) for part in "BA")
    base = network.out[2].base_layer.weight
    torch.testing.assert_close(made.out[2].weight, base + (up @ down).view_as(base))


@pytest.fixture
def mesh():
    """Of this process alone, which shards nevertheless."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_a_sharded_network_is_merged_into_a_whole_one(mesh):
    def make():
        return nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 6))

    plain = make()
    whole, sharded = (shaken(add_lora(copy.deepcopy(plain), RANK_3, seed=0)) for _ in range(2))
    shard(sharded, mesh)
    sharded(torch.ones(2, 6)).square().mean().backward()
    assert all((p.grad is not None) == p.requires_grad for p in sharded.parameters())
    with pytest.raises(ValueError, match="say by make how"):
        merged(sharded)
    with pytest.raises(ValueError, match="spread over processes"):
        add_lora(sharded, RANK_3, seed=0)
    assert_same_bits(merged(whole).state_dict(), merged(sharded, make).state_dict())
