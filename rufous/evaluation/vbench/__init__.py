"""VBench's protocol: what its prompts, files and tables look like, and what its totals are.

* ``score_table`` - ranges and weights of all dimensions, text-to-video and image-to-video, and the totals.
* ``suite`` - the prompts with what each is measured on, and the file names of their clips.
* ``known_suites`` - the suites that have a name.
* ``results`` - ``eval_results.json``, written and read, also out of a zip file.
"""
