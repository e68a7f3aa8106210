#!/bin/sh
# Makes the 4-step student of the embedded teacher, or goes on where it stopped: prune, recover, few steps by
# consistency and then by distribution matching, feedback, truth. Every stage resumes by itself.
#
#   PROCESSES=2 DEVICE=cpu nohup scripts/train_student.sh > runs/train_student.log 2>&1 &
#
# `rufous reproduce world` goes the same road from nothing, teacher included, in one process.
set -eu
cd "$(dirname "$0")/.."
DEVICE=${DEVICE:-auto}
RUFOUS=${RUFOUS:-rufous}
TEACHER=${TEACHER:-world-teacher}
BUDGET=${BUDGET:--45%}
ROOT=${ROOT:-runs/student}
mkdir -p "$ROOT"

# two threads that wait for each other must not spin; large freed blocks must stay with the process
export OMP_WAIT_POLICY=passive
export GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=99999999999:glibc.malloc.hugetlb=1

TRAIN="$RUFOUS train"
if [ -n "${PROCESSES:-}" ]; then
  export OMP_NUM_THREADS=1
  TRAIN="python3 -m torch.distributed.run --standalone --nproc_per_node $PROCESSES -m rufous train"
fi

if [ ! -f "$ROOT/pruned/rufous.json" ]; then
  $RUFOUS prune "$TEACHER" -o "$ROOT/pruned" --budget="$BUDGET" --device "$DEVICE"
fi
$TRAIN world_recovery teacher="$TEACHER" student="$ROOT/pruned" --device "$DEVICE" \
  --run-dir "$ROOT/recovered" ${RECOVERY:-}
$TRAIN world_few_steps teacher="$TEACHER" student="$ROOT/recovered/release" method=consistency \
  --device "$DEVICE" --run-dir "$ROOT/consistency" ${CONSISTENCY:-}
$TRAIN world_few_steps teacher="$TEACHER" student="$ROOT/consistency/release" --device "$DEVICE" \
  --run-dir "$ROOT/matched" ${MATCHING:-}
$TRAIN world_few_steps --preset feedback teacher="$TEACHER" student="$ROOT/matched/release" \
  --device "$DEVICE" --run-dir "$ROOT/feedback" ${FEEDBACK:-}
for stage in recovered consistency matched feedback; do
  $TRAIN world_truth model="$ROOT/$stage/release" features=world-video-text --device "$DEVICE" \
    --run-dir "$ROOT/truth_$stage"
done
