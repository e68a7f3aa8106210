"""The command ``rufous``: arguments in, files and messages out. Only this package prints.

Modules import torch inside their functions, so that ``rufous --help`` answers at once.

* ``cli`` - the program: its commands, its error lines and exit codes.
* ``generate`` - ``rufous generate``: prompts to clips.
* ``compare`` - ``rufous compare``: models side by side.
* ``bench`` - ``rufous bench``: time and memory of models on this machine.
* ``bench_rows`` - which rows a command line means, and whether their clips fit.
* ``bench_child`` - one row of it, in a process of its own.
* ``fvd`` - ``rufous fvd``: two folders of clips as sets.
* ``evaluate`` - ``rufous evaluate``: clips measured row by row.
* ``evaluation_rows`` - which rows it measures.
* ``evaluation_tables`` - what it prints.
* ``curate`` - ``rufous curate``: videos to a manifest of measured and filtered clips.
* ``reproduce`` - ``rufous reproduce``: a whole road by one command.
* ``model_arguments`` - models on a command line with settings of their own.
* ``outputs`` - which file each clip goes to, and what is refused before any work.
* ``clips`` - one clip's file, metadata and manifest.
* ``sampled_clips`` - several clips of each prompt, named and seeded by prompt and number.
* ``prompt_files`` - prompts from a text or JSONL file.
* ``progress`` - progress bars and timings on stderr.
* ``inspect`` - ``rufous models``, ``info``, ``verify``.
* ``doctor`` - ``rufous doctor``: what this machine can run.
* ``convert`` - ``rufous convert``: published files to a release folder.
* ``prune`` - ``rufous prune``: a release to a smaller one.
* ``train`` - ``rufous train`` and ``rufous recipes``.
"""

__all__: list[str] = []
