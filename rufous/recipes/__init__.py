"""Reproducible runs, one function each; this is where the packages meet.

* ``recipe`` - what a recipe is.
* ``processes`` - a recipe on one process or several.
* ``world_clips`` - rendered clips of the world on disk.
* ``world_autoencoder`` - the world's autoencoder.
* ``world_video_text`` - the world's contrastive model, whose text tower the generators read.
* ``world_latents`` - latents of those clips on disk.
* ``world_teacher`` - the text-to-video teacher.
* ``world_truth`` - how true a model of the world is.
* ``world_ship`` - a finished release, stored small inside the package.
"""

from rufous.recipes import (
    world_autoencoder,
    world_clips,
    world_latents,
    world_ship,
    world_teacher,
    world_truth,
    world_video_text,
)
from rufous.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        world_clips.RECIPE,
        world_autoencoder.RECIPE,
        world_video_text.RECIPE,
        world_latents.RECIPE,
        world_teacher.RECIPE,
        world_truth.RECIPE,
        world_ship.RECIPE,
    )
}

__all__ = ["RECIPES", "Recipe"]
