#!/bin/sh
# The embedded student goes on from what ships: few steps for the teacher that ships, then feedback, then its truth.
# Every stage resumes by itself; the same command goes on where it stopped.
#
#   nohup scripts/train_student.sh > runs/train_student.log 2>&1 &
#   PROCESSES=1 DEVICE=cuda scripts/train_student.sh
set -eu
cd "$(dirname "$0")/.."
DEVICE=${DEVICE:-cpu}
PROCESSES=${PROCESSES:-2}
mkdir -p runs

# as in train_world.sh: two processes of one thread, that do not spin and keep their memory
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
export GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=99999999999:glibc.malloc.hugetlb=1
RUN="python3 -m torch.distributed.run --standalone --nproc_per_node $PROCESSES -m rufous train"

for stage in further further_feedback; do
  $RUN world_few_steps --preset $stage --device "$DEVICE"
done
student=runs/world_few_steps_further_feedback/release
TRUTH="$RUN world_truth features=world-video-text --device $DEVICE"
[ -f runs/student_truth_4/truth.json ] || $TRUTH model=$student --run-dir runs/student_truth_4
[ -f runs/student_truth_2/truth.json ] || $TRUTH model=$student num_inference_steps=2 --run-dir runs/student_truth_2
[ -f runs/student_truth_26/truth.json ] || $TRUTH model=$student num_frames=26 --run-dir runs/student_truth_26
[ -f runs/teacher_truth_50/truth.json ] || $TRUTH model=world-teacher num_inference_steps=50 --run-dir runs/teacher_truth_50
python3 -m rufous train world_figures
