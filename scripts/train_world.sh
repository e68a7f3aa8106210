#!/bin/sh
# Makes the embedded model from nothing, or goes on where it stopped: every stage resumes by itself.
#
#   nohup scripts/train_world.sh > runs/train_world.log 2>&1 &
#   PRESET=large DEVICE=cuda scripts/train_world.sh
#   PROCESSES=2 DEVICE=cpu scripts/train_world.sh    (one thread each: faster than one process of two threads)
#   PRESET=longer_clips PROCESSES=2 DEVICE=cpu scripts/train_world.sh    (the shipped teacher goes on, for 26 frames)
#
# Where runs/ is gone, the stages before the teacher start from the model that ships, unless FROM_NOTHING=1.
set -eu
cd "$(dirname "$0")/.."
PRESET=${PRESET:-small}
DEVICE=${DEVICE:-auto}
RUFOUS=${RUFOUS:-rufous}  # or "python3 -m rufous", where the package is not installed
SHIPPED=rufous/models/world-teacher
mkdir -p runs

# two threads that wait for each other must not spin; large freed blocks must stay with the process
export OMP_WAIT_POLICY=passive
export GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=99999999999:glibc.malloc.hugetlb=1

TRAIN="$RUFOUS train"
if [ -n "${PROCESSES:-}" ]; then
  export OMP_NUM_THREADS=1
  TRAIN="python3 -m torch.distributed.run --standalone --nproc_per_node $PROCESSES -m rufous train"
fi

autoencoder=runs/world_autoencoder/release
text=runs/world_video_text/release
start=
# a run keeps the start it began with
if [ -n "${FROM_NOTHING:-}" ] && [ ! -d runs/world_teacher ]; then
  echo nothing > runs/train_world_start
elif [ ! -f runs/train_world_start ]; then
  echo shipped > runs/train_world_start
fi
if [ "$(cat runs/train_world_start)" = shipped ]; then
  autoencoder=$SHIPPED
  text=rufous/models/world-video-text
  start="init_from=$SHIPPED images=null sparse=null"
else
  $TRAIN world_autoencoder --run-dir runs/world_autoencoder --preset "$PRESET" --device "$DEVICE"
  $TRAIN world_video_text --run-dir runs/world_video_text --preset "$PRESET" --device "$DEVICE"
fi
$TRAIN world_teacher --run-dir runs/world_teacher --preset "$PRESET" --device "$DEVICE" \
  latents.autoencoder="$autoencoder" text="$text" $start "$@"
TRUTH="$TRAIN world_truth model=runs/world_teacher/release features=world-video-text --device $DEVICE"
$TRUTH --run-dir runs/world_truth
$TRUTH num_frames=26 num_prompts=200 --run-dir runs/world_truth_26
