"""AnimateLCM's zero-shot protocol on UCF-101: 24 clips for each of the 101 classes against real ones.

    rufous generate --suite ucf101 --class-prompts UCF101_prompts.yaml -o GENERATED
    rufous fvd UCF-101 GENERATED --preset animatelcm-ucf101
    rufous evaluate GENERATED --rows clipsim

What paper, author and code state: 16 frames of 512x512, 2424 clips, 2048 of them at random against 2048 real
ones, logits of I3D from ``i3d_pretrained_400.pt``, covariances over n - 1; real clips are resized by their
shorter side and cropped in the middle, generated ones, being square, only resized; CLIPSIM by OpenCLIP
ViT-H/14 against the same prompts. What nobody states, and is chosen here: real clips are read at stride 1
from a random first frame, generated ones from their first; the seeds.

The prompts were written by GPT-4 and are published as ``metrics/UCF101_prompts.yaml`` in AnimateLCM's
repository. They are read from that file and are not in this package.

Source: Wang et al. 2024 (arXiv:2402.00769); Soomro et al. 2012 (arXiv:1212.0402) for UCF-101.
"""

import re
from pathlib import Path

from rufous.evaluation.set_features import VIDEOGPT_I3D_FILE, Resize
from rufous.evaluation.sets import SetSampling

CLASSES = tuple(
    """
    ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch
    Basketball BasketballDunk BenchPress Biking Billiards BlowDryHair BlowingCandles
    BodyWeightSquats Bowling BoxingPunchingBag BoxingSpeedBag BreastStroke BrushingTeeth
    CleanAndJerk CliffDiving CricketBowling CricketShot CuttingInKitchen Diving Drumming Fencing
    FieldHockeyPenalty FloorGymnastics FrisbeeCatch FrontCrawl GolfSwing Haircut HammerThrow
    Hammering HandstandPushups HandstandWalking HeadMassage HighJump HorseRace HorseRiding HulaHoop
    IceDancing JavelinThrow JugglingBalls JumpingJack JumpRope Kayaking Knitting LongJump Lunges
    MilitaryParade Mixing MoppingFloor Nunchucks ParallelBars PizzaTossing PlayingCello PlayingDaf
    PlayingDhol PlayingFlute PlayingGuitar PlayingPiano PlayingSitar PlayingTabla PlayingViolin
    PoleVault PommelHorse PullUps Punch PushUps Rafting RockClimbingIndoor RopeClimbing Rowing
    SalsaSpin ShavingBeard Shotput SkateBoarding Skiing Skijet SkyDiving SoccerJuggling
    SoccerPenalty StillRings SumoWrestling Surfing Swing TableTennisShot TaiChi TennisSwing
    ThrowDiscus TrampolineJumping Typing UnevenBars VolleyballSpiking WalkingWithDog WallPushups
    WritingOnBoard YoYo
    """.split()  # noqa: SIM905 - a hundred quotation marks hide the names
)
CLIPS_PER_CLASS = 24
NUM_CLIPS = 2048
RESIZE: Resize = "crop"
I3D_FILE = VIDEOGPT_I3D_FILE
REAL = SetSampling(start="random", num_clips=NUM_CLIPS)
GENERATED = SetSampling(num_clips=NUM_CLIPS)


def read_class_prompts(path: Path | str) -> dict[str, str]:
    """The prompt of each class, from lines ``ClassName: prompt``; lines with ``#`` in front are comments.

    Raises:
        ValueError: A line is none of these, a class is missing, named twice, or none of UCF-101's.
        OSError: The file cannot be read.
    """
    prompts: dict[str, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, prompt = (part.strip() for part in line.partition(":"))
        prompt = prompt.strip("\"'")
        if name not in CLASSES or not prompt or name in prompts:
            raise ValueError(
                f"{path}, line {number}: {line.strip()[:80]!r} is no line 'ClassName: prompt' with one of "
                "UCF-101's classes that was not named before"
            )
        prompts[name] = prompt
    if missing := [name for name in CLASSES if name not in prompts]:
        raise ValueError(f"{path} has no prompt for {len(missing)} classes: {', '.join(missing[:5])}")
    return prompts


def plain_prompts() -> dict[str, str]:
    """The class names as words, for a trial without the published prompts: not the protocol's."""
    return {name: re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower() for name in CLASSES}
