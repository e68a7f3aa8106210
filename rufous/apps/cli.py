"""The program ``rufous``: its commands, its error lines and exit codes.

Exit codes: 0 done, 1 failure (a damaged file, a full disk, no network), 2 usage (a value that is not
allowed, or no command), 130 stopped by Ctrl-C; a training and a curation also by SIGTERM or by a time limit.
An error is one line on stderr; ``--verbose`` adds the log and the traceback.
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import rufous
from rufous.apps.bench import bench
from rufous.apps.compare import compare
from rufous.apps.convert import convert
from rufous.apps.curate import curate
from rufous.apps.doctor import doctor
from rufous.apps.evaluate import evaluate
from rufous.apps.fvd import fvd
from rufous.apps.generate import generate
from rufous.apps.inspect import info, models, verify
from rufous.apps.prune import prune
from rufous.apps.reproduce import reproduce
from rufous.apps.train import recipes, train

DONE, FAILURE, USAGE, STOPPED = 0, 1, 2, 130
VERBOSE = "--verbose"
_STOPPED_LINE = "stopped: files that were finished are whole, and nothing half-written is left"

# click's own root of all errors in a command line; typer carries click under a private name,
# but its public BadParameter leads there in every version
_COMMAND_LINE_ERROR: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

app = typer.Typer(
    help="Make text-to-video models small and fast, and run them. Every command takes --verbose.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    *(generate, compare, evaluate, fvd, bench, reproduce, curate, train, prune, recipes),
    *(convert, models, info, verify, doctor),
):
    app.command()(_command)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(rufous.__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the command ``rufous``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code; nothing but Ctrl-C's default handler is global.

    Args:
        arguments: What follows ``rufous``; ``--verbose`` may stand anywhere.
    """
    verbose = VERBOSE in arguments
    told = [each for each in arguments if each != VERBOSE]
    try:
        if verbose:
            _show_log()
        code = app(told or ["--help"], prog_name="rufous", standalone_mode=False)
        if not told:
            return USAGE
        return _report(_STOPPED_LINE, STOPPED) if code == STOPPED else int(code or DONE)
    except (KeyboardInterrupt, typer.Abort):
        return _report(_STOPPED_LINE, STOPPED)
    except _COMMAND_LINE_ERROR as error:
        return _report(_with_help(error), USAGE)
    except tuple(_codes()) as error:
        if verbose:
            traceback.print_exception(error)
        return _report(_one_line(error), _code_of(error))


def _codes() -> dict[type[BaseException], int]:
    """Exit code by exception, most special first; what is not listed is a bug and shows its traceback."""
    from rufous.core.errors import CheckpointError, ConfigError, MissingDependencyError, RunStoppedError

    return {
        RunStoppedError: STOPPED,
        CheckpointError: FAILURE,
        MissingDependencyError: FAILURE,
        ConfigError: USAGE,
        UnicodeError: FAILURE,
        ValueError: USAGE,
        OSError: FAILURE,
        ArithmeticError: FAILURE,
        MemoryError: FAILURE,
        RuntimeError: FAILURE,
    }


def _code_of(error: BaseException) -> int:
    return next(code for kind, code in _codes().items() if isinstance(error, kind))


def _report(message: str, code: int) -> int:
    typer.echo(f"rufous: {message}", err=True)
    return code


def _one_line(error: Any) -> str:
    """The message without line breaks; an ``OSError`` says which file."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    text = " ".join(str(error).split())
    if type(error) is RuntimeError:
        text = f"{text[:300]} (--verbose shows where)"
    return text or type(error).__name__


def _with_help(error: Any) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "rufous"
    return f"{' '.join(error.format_message().split())} (see '{command} --help')"


def _show_log() -> None:
    from rufous.core.console import show_log

    show_log(verbose=True)
