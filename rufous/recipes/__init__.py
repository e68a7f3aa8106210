"""Reproducible runs, one function each; this is where the packages meet.

* ``recipe`` - what a recipe is.
* ``processes`` - a recipe on one process or several.
* ``releases`` - manifests that name all parents, and the releases of students.
* ``world_clips`` - rendered clips of the world on disk.
* ``world_autoencoder`` - the world's autoencoder.
* ``world_video_text`` - the world's contrastive model, whose text tower the generators read.
* ``world_latents`` - latents of those clips on disk.
* ``decoder_distillation`` - a tiny decoder distilled from a release's autoencoder.
* ``world_tiny_decoder`` - one for those latents.
* ``world_teacher`` - the text-to-video teacher.
* ``varying_lengths`` - batches cut to a length of their own.
* ``world_captions``, ``world_data``, ``world_sets`` - what generators train on.
* ``recovery``, ``few_steps`` - the two stages of distillation on any clips.
* ``watching`` - what the second one watches: rewards, and figures of validation clips.
* ``text_tower`` - the frozen text tower of a release, as training reads captions with it.
* ``world_pruning`` - the teacher pruned to a budget.
* ``world_recovery`` - stage 1: a pruned U-Net recovers.
* ``world_few_steps`` - stage 2: a few-step student, with reward feedback.
* ``world_feedback`` - those rewards, and what is measured against cheating them.
* ``world_truth`` - how true a model of the world is.
* ``world_figures`` - a student's figures over its teacher's, with intervals.
* ``stages`` - roads of several stages, and their table.
* ``world_reproduce`` - the whole road, from nothing to a few-step student.
* ``video_batches`` - clips of video files, encoded as they are read.
* ``distil_unet``, ``feedback_unet`` - both stages at full size.
* ``distil_decoder`` - a tiny decoder for their rewards.
* ``curated_batches`` - clips of a curated manifest in buckets, encoded once or as they are read.
* ``curated`` - a generator trained on a curated set.
* ``world_curation_set``, ``world_curation_gain`` - what curation is worth on a damaged set.
* ``world_ablation`` - what each step of the recipe brings.
* ``world_ship`` - a finished release, stored small inside the package.
"""

from rufous.recipes import (
    curated,
    distil_decoder,
    world_ablation,
    world_autoencoder,
    world_clips,
    world_curation_gain,
    world_few_steps,
    world_figures,
    world_latents,
    world_pruning,
    world_recovery,
    world_reproduce,
    world_ship,
    world_teacher,
    world_tiny_decoder,
    world_truth,
    world_video_text,
)
from rufous.recipes.distil_unet import DISTIL_UNET_0_7B, DISTIL_UNET_0_9B
from rufous.recipes.feedback_unet import FEEDBACK_UNET_0_7B, FEEDBACK_UNET_0_9B
from rufous.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        world_clips.RECIPE,
        world_autoencoder.RECIPE,
        world_video_text.RECIPE,
        world_latents.RECIPE,
        world_tiny_decoder.RECIPE,
        world_teacher.RECIPE,
        world_pruning.RECIPE,
        world_recovery.RECIPE,
        world_few_steps.RECIPE,
        world_truth.RECIPE,
        world_figures.RECIPE,
        world_reproduce.RECIPE,
        world_ablation.RECIPE,
        world_ship.RECIPE,
        curated.RECIPE,
        world_curation_gain.RECIPE,
        distil_decoder.RECIPE,
        DISTIL_UNET_0_7B,
        DISTIL_UNET_0_9B,
        FEEDBACK_UNET_0_7B,
        FEEDBACK_UNET_0_9B,
    )
}

__all__ = ["RECIPES", "Recipe"]
