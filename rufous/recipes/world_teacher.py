"""The world's teacher: a U-Net of VideoCrafter2's class on the world's latents and its frozen text tower.

    rufous train world_teacher

It differs from VideoCrafter2 where a small network on redundant latents wants it: few norm groups; the
prompt, pooled by attention, joins the time embedding and modulates every ResBlock (FiLM), a second road for
the words beside cross-attention; frames know their index in every block, and attention sees the whole clip,
at 4x4 latents and at 8x8, where frames must agree for things to turn and to bounce exactly; the noise is
shifted and ends at pure noise, or brightness would leak through the last timestep and backgrounds would never
be learnt from noise. Hence v-prediction.

Images first: single frames, which pass the temporal layers by but know which frame of their clip they are,
teach looks and what a motion word means for each frame, at a small part of a clip's cost. Then four frames of
each clip, far apart, teach which frames go together, at a quarter of the cost. Whole clips come last, with
images beside them. Motions that take longest are shown more often: of turned things, each angle is another
shape to learn, and the others show none.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import load_component, save_release
from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.sampling import SamplingConfig
from rufous.diffusion.schedules import ScheduleConfig, make_schedule
from rufous.distillation.denoising import DenoisingConfig, DenoisingObjective
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from rufous.pipelines.loading import component_name
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe, made_of, portable_config
from rufous.recipes.releases import check_run_dir
from rufous.recipes.text_tower import Text
from rufous.recipes.world_data import WorldData, open_world_data
from rufous.recipes.world_latents import WorldLatentsConfig
from rufous.recipes.world_sets import TWENTY_SIX, WorldSet
from rufous.training.batches import InterleavedBatches
from rufous.training.loop import TrainConfig, train
from rufous.training.optim import OptimizerConfig

WORLD_UNET = UNet3DConfig(
    in_channels=4,
    out_channels=4,
    model_channels=32,
    channel_mult=(1, 2, 4),
    num_res_blocks=1,
    attention_resolutions=(4, 2),
    num_head_channels=32,
    cross_attention_dim=128,
    init_attention=False,
    use_scale_shift_norm=True,
    pooled_prompt=True,
    prompt_queries=8,
    clip_attention=True,
    frame_embedding=True,
    skip_temporal_on_images=True,
    temporal_position="sinusoidal",
    norm_groups=8,
    temporal_dropout=0.0,
)
WORLD_DIFFUSION = DiffusionConfig(
    schedule=ScheduleConfig(noise_shift=3.0, rescale_zero_terminal_snr=True),
    prediction_type="v_prediction",
    # fresh noise at each step mends what earlier steps got wrong: motion right in 91 %, by dpmpp_2m in 80 %
    sampling=SamplingConfig(
        solver="lcm", num_inference_steps=25, guidance_scale=2.0, timestep_spacing="trailing"
    ),
    num_frames=16,
    height=64,
    width=64,
    fps=8.0,
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Clips of one batch, and how many evenly spaced frames of each are shown."""

    batch_size: int
    num_frames: int | None = None
    """1 for images, None for all."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """How often a clip of a motion is shown each epoch; once where none is given."""
    longer: bool = False
    """Whether they are ``WorldTeacherConfig.longer``."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A training whose every step has a batch of each kind."""

    shown: tuple[Shown, ...]
    train: TrainConfig


_SLOWLY_LEARNT = {"rotating": 4, "bouncing": 4, "orbiting": 2}
_MUON = OptimizerConfig(name="muon", learning_rate=2e-3, warmup_steps=50)


@dataclass(frozen=True, kw_only=True)
class WorldTeacherConfig:
    """Settings of the run."""

    latents: WorldLatentsConfig = field(default_factory=WorldLatentsConfig)
    latents_dir: str = "runs/world_latents"
    longer: WorldSet = TWENTY_SIX
    """Clips of more frames; without them no clip that is longer than those it saw moves right."""
    text: str = "runs/world_video_text/release"
    """Release folder with the components ``text_encoder`` and ``tokenizer``."""
    network: UNet3DConfig = WORLD_UNET
    diffusion: DiffusionConfig = WORLD_DIFFUSION
    objective: DenoisingConfig = field(default_factory=DenoisingConfig)
    images: Phase | None = field(
        default_factory=lambda: Phase(
            shown=(Shown(batch_size=128, num_frames=1, repeats={"rotating": 4}),),
            train=TrainConfig(num_steps=6500, optimizer=_MUON, ema_decay=0.99, save_every=500),
        )
    )
    sparse: Phase | None = field(
        default_factory=lambda: Phase(
            shown=(Shown(batch_size=64, num_frames=4),),
            train=TrainConfig(num_steps=4000, optimizer=_MUON, ema_decay=0.99, save_every=250),
        )
    )
    clips: Phase = field(
        default_factory=lambda: Phase(
            shown=(
                Shown(batch_size=12, repeats=_SLOWLY_LEARNT),
                Shown(batch_size=6, repeats=_SLOWLY_LEARNT, longer=True),
                Shown(batch_size=64, num_frames=1, repeats={"rotating": 12}),
            ),
            train=TrainConfig(
                num_steps=4000,
                optimizer=replace(_MUON, schedule="wsd", decay_steps=1500),
                ema_decay=0.998,
                save_every=250,
            ),
        )
    )
    seed: int = 13
    init_from: str | None = None
    """Release folder whose ``unet`` the run starts from."""

    @property
    def phases(self) -> dict[str, Phase]:
        """Those there are, in order."""
        named = {"images": self.images, "sparse": self.sparse, "clips": self.clips}
        return {name: phase for name, phase in named.items() if phase is not None}


def run(config: WorldTeacherConfig, run_dir: Path, device: torch.device) -> Path:
    """Train phase by phase and write ``run_dir/release``, a complete text-to-video release."""
    with joined(device) as processes:
        return _train(config, run_dir, processes)


def _train(config: WorldTeacherConfig, run_dir: Path, processes: Processes) -> Path:
    device = processes.device
    check_run_dir(run_dir, _places(config), begins_in=next(iter(config.phases)))
    data = open_world_data(config.latents, config.latents_dir, config.text, processes)
    longer = _longer_data(config, processes)
    network = _initial_network(config).to(device)
    schedule = make_schedule(config.diffusion.schedule)
    denoiser = Denoiser(network=network, schedule=schedule, prediction_type=config.diffusion.prediction_type)
    objective = DenoisingObjective(denoiser, data.empty, config.objective)
    processes.spread(network, _blocks(network))

    for name, phase in config.phases.items():

        def save(step: int, folder: Path, name: str = name) -> None:
            whole = processes.whole(network, lambda: UNet3D(network.config))
            if processes.is_first:
                save_teacher(config, whole, data.text, run_dir / "release", {f"steps_{name}": step})

        with contextlib.ExitStack() as stack:
            sources = [
                (longer if each.longer and longer else data).batches(
                    batch_size=each.batch_size,
                    seed=config.seed,
                    num_frames=each.num_frames,
                    repeats=each.repeats,
                )
                for each in phase.shown
            ]
            for source in sources:
                stack.enter_context(contextlib.closing(source))
            result = train(
                objective,
                InterleavedBatches(sources),
                replace(phase.train, accumulation=len(sources)),
                run_dir=run_dir / name,
                device=device,
                save=save,
                made_of=made_of(config),
            )
        if result.ema is not None:  # the next phase starts from the averaged weights
            network.load_state_dict(result.ema.state_dict()["averages"])
    return run_dir / "release"


def _longer_data(config: WorldTeacherConfig, processes: Processes) -> WorldData | None:
    """The longer clips, if a phase shows any."""
    if not any(each.longer for phase in config.phases.values() for each in phase.shown):
        return None
    latents = replace(config.latents, clips=config.longer.clips, clips_dir=config.longer.clips_dir)
    return open_world_data(latents, config.longer.latents_dir, config.text, processes)


def save_teacher(
    config: WorldTeacherConfig, network: UNet3D, text: Text, folder: Path, figures: Mapping[str, float | int]
) -> None:
    """Write a release that generates: U-Net, autoencoder, text tower, tokenizer and settings."""
    parents = tuple(
        Parent(name=Manifest.load(part).name, manifest_id=Manifest.load(part).id, role=role)
        for role, part in _places(config).items()
    )
    manifest = Manifest(
        name="world-teacher",
        config=portable_config(config),
        seeds={"training": config.seed, "data": config.latents.clips.seed},
        parents=parents,
        licences={"weights": "Apache-2.0"},
        figures=dict(figures),
    )
    parts = {
        "unet": network,
        "autoencoder": Path(config.latents.autoencoder) / "autoencoder",
        "text_encoder": text.encoder,
        "tokenizer": text.tokenizer,
        "diffusion": config.diffusion,
    }
    save_release(folder, parts, manifest, overwrite=True)


def _places(config: WorldTeacherConfig) -> dict[str, Path]:
    """The releases that shape the teacher, by role."""
    places = {"autoencoder": Path(config.latents.autoencoder), "text_encoder": Path(config.text)}
    return places if config.init_from is None else {**places, "start": Path(config.init_from)}


def _blocks(network: UNet3D) -> list[nn.Module]:
    """What is gathered one after another when several processes share the network."""
    stages = (*network.input_blocks, network.middle_block, *network.output_blocks)
    return [part for stage in stages for part in stage.children() if any(True for _ in part.parameters())]


def _initial_network(config: WorldTeacherConfig) -> UNet3D:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = UNet3D(config.network)
    if config.init_from is not None:
        old = load_component(config.init_from, component_name(config.init_from, "unet"), dtype=torch.float32)
        # layers that the old network lacks stay fresh; they must begin at zero to change nothing yet
        network.load_state_dict({**network.state_dict(), **_renamed(old, network)})
    return network


def _renamed(old: UNet3D, new: UNet3D) -> dict[str, Tensor]:
    """The weights of ``old`` by the names that ``new`` has for them: transformers that a stage gains come
    before its upsampling, whose number they raise."""
    weights: dict[str, Tensor] = dict(old.state_dict())
    stages = zip(old.output_blocks, new.output_blocks, strict=True)
    for index, lengths in enumerate([(len(list(a.children())), len(list(b.children()))) for a, b in stages]):
        last, now = (f"output_blocks.{index}.{length - 1}.conv." for length in lengths)
        if last != now:
            for name in [name for name in weights if name.startswith(last)]:
                weights[name.replace(last, now)] = weights.pop(name)
    return weights


SMALL = WorldTeacherConfig()


def _larger(phase: Phase | None, times: int, num_steps: int, **optimizer: int) -> Phase | None:
    """Larger batches and another number of steps."""
    if phase is None:
        return None
    shown = tuple(replace(each, batch_size=times * each.batch_size) for each in phase.shown)
    train = replace(phase.train, optimizer=replace(phase.train.optimizer, **optimizer))
    return Phase(shown=shown, train=replace(train, num_steps=num_steps, ema_decay=0.9995, save_every=1_000))


LARGE = replace(
    SMALL,
    latents=replace(SMALL.latents, clips=replace(SMALL.latents.clips, num_clips=48_000)),
    images=_larger(SMALL.images, 4, 20_000),
    sparse=_larger(SMALL.sparse, 4, 10_000),
    clips=_larger(SMALL.clips, 4, 20_000, decay_steps=6_000),
)
"""For a GPU: the same network, four times the data, 20 times the clips seen."""


LONGER_CLIPS = replace(
    SMALL,
    latents=replace(
        SMALL.latents,
        clips=replace(SMALL.latents.clips, num_clips=24_000),
        clips_dir="runs/world_clips_more",
    ),
    latents_dir="runs/world_latents_more",
    longer=replace(
        SMALL.longer,
        clips=replace(SMALL.longer.clips, num_clips=20_000),
        clips_dir="runs/world_clips_26_more",
        latents_dir="runs/world_latents_26_more",
    ),
    images=None,
    sparse=None,
    clips=Phase(
        shown=(
            Shown(batch_size=6, repeats={"rotating": 3, "bouncing": 3}),
            Shown(batch_size=12, repeats={"rotating": 3, "bouncing": 3, "orbiting": 2}, longer=True),
            Shown(batch_size=32, num_frames=1, repeats={"rotating": 6}),
        ),
        train=TrainConfig(
            num_steps=4_000,
            optimizer=replace(_MUON, schedule="wsd", decay_steps=1_500),
            ema_decay=0.999,
            save_every=100,
        ),
    ),
)
"""From a teacher that knows 16 frames (``init_from``): the longer clips most of all, for orbits and bounces
take more turns in them. More clips than elsewhere, so that few need be repeated; what that
brings is not measured yet (docs/benchmarks.md)."""

RECIPE = Recipe(
    name="world_teacher",
    summary="The world's text-to-video teacher.",
    config=SMALL,
    presets={"small": SMALL, "large": LARGE, "longer_clips": LONGER_CLIPS},
    run=run,
)
