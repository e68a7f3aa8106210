"""VBench's protocol: what its prompts, files and tables look like, and what its totals are.

* ``score_table`` - ranges and weights of all dimensions, text-to-video and image-to-video, and the totals.
* ``suite`` - the prompts with what each is measured on, and the file names of their clips.
* ``results`` - ``eval_results.json``, written and read, also out of a zip file.
"""
