"""The program: help without torch, exit codes, one line per error, Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rufous.apps import cli
from rufous.core.errors import CheckpointError, ConfigError, MissingDependencyError

START = "import sys; from rufous.apps import cli; "


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_imports_neither_torch_nor_anything_heavy():
    heavy = "{'torch', 'transformers', 'numpy', 'av', 'PIL', 'huggingface_hub'}"
    done = python(f"{START} cli.run(['generate', '--help']); print(sorted({heavy} & set(sys.modules)))")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "--guidance" in done.stdout


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]):
    assert cli.run(["--help"]) == cli.DONE
    listed = capsys.readouterr().out
    for command in (
        "generate",
        "compare",
        "reproduce",
        "train",
        "prune",
        "prune",
        "recipes",
        "convert",
        "models",
        "info",
        "verify",
        "doctor",
    ):
        assert f"  {command} " in listed


def test_no_command_shows_the_commands(capsys: pytest.CaptureFixture[str]):
    assert cli.run([]) == cli.USAGE
    shown = capsys.readouterr()
    assert "  generate " in shown.out
    assert len(shown.out.splitlines()) > 10
    assert shown.err == ""


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    assert cli.run(["--version"]) == cli.DONE
    assert capsys.readouterr().out.strip() == cli.rufous.__version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paint"], "No such command 'paint'"),
        (["generate", "a star", "--colour", "red"], "No such option: --colour"),
        (["generate", "a star", "--steps", "many"], "Invalid value for '--steps'"),
        (["convert"], "Missing argument"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.run(arguments) == cli.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("rufous: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("size=3 is odd:\nuse 4"), cli.USAGE, "rufous: size=3 is odd: use 4"),
        (ConfigError("no field"), cli.USAGE, "rufous: no field"),
        (CheckpointError("truncated"), cli.FAILURE, "rufous: truncated"),
        (MissingDependencyError("install x"), cli.FAILURE, "rufous: install x"),
        (OSError(28, "No space left on device", "out.mp4"), cli.FAILURE, "out.mp4: No space left on device"),
        (FloatingPointError("not finite"), cli.FAILURE, "rufous: not finite"),
        (MemoryError(), cli.FAILURE, "rufous: MemoryError"),
        (RuntimeError("out of memory"), cli.FAILURE, "rufous: out of memory (--verbose shows where)"),
        (KeyboardInterrupt(), cli.STOPPED, "rufous: stopped: files that were finished are whole"),
    ],
)
def test_every_failure_has_a_line_and_a_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    assert cli.run(["doctor"]) == code
    shown = capsys.readouterr().err
    assert line in shown
    assert "Traceback" not in shown
    assert cli.run(["doctor", "--verbose"]) == code
    if code != cli.STOPPED:
        assert "Traceback" in capsys.readouterr().err


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(KeyError):
        cli.run(["doctor"])


def test_ctrl_c_in_the_middle_exits_130_and_leaves_no_file(tiny_release: Path, tmp_path: Path):
    # a shell starts what it runs in the background with Ctrl-C ignored, and children inherit it
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    command = [sys.executable, "-c", f"{START} {heed} cli.main()", "generate", "a star", "--device", "cpu"]
    command += ["--model", str(tiny_release), "--steps", "1000", "--size", "64", "-o", f"{tmp_path}/clip.mp4"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()  # the prediction, printed right before the first step
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == cli.STOPPED
    assert "stopped" in rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
