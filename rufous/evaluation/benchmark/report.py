"""Results of a benchmark as a Markdown page and as an SVG picture."""

from collections.abc import Sequence

from rufous.core.bar_chart import Bars, bar_chart
from rufous.evaluation.benchmark.results import BenchmarkResults, RowFailure, RowResult, Spread
from rufous.evaluation.benchmark.workload import STAGES, ClipPlan, Stage

WORTH_TELLING_DRIFT = 0.1


def benchmark_page(results: BenchmarkResults, *, picture: str | None = None) -> str:
    """The page.

    Args:
        results: Of one run.
        picture: Name of the SVG file beside it; None for a page without.
    """
    machine = results.machine
    parts = [
        "# Benchmark",
        f"{results.date}, rufous {machine.rufous}, torch {machine.torch}, Python {machine.python}, "
        f"{machine.platform}. Rows ran on {machine.device} ({machine.device_name}) in {machine.dtype}, "
        f"with {machine.threads} of {machine.cores} cores of {machine.cpu} and "
        f"{machine.memory_bytes / 1e9:.1f} GB.{_variables_text(machine.variables)}",
        _peaks_text(results),
    ]
    if results.measured:
        parts += [_times_table(results.measured), _costs_table(results), _memory_table(results.measured)]
        parts += [*_notes(results.measured)]
        parts += [f"![times and memory]({picture})"] if picture else []
    if results.failed:
        parts += ["## Rows that failed", _failure_list(results.failed)]
    if results.left_out:
        parts += ["## Left out", "\n".join(f"* {text}" for text in results.left_out)]
    return "\n\n".join(parts) + "\n"


def benchmark_picture(results: BenchmarkResults) -> str:
    """Bars of time, memory and use of the machine; rows whose total is computed are red.

    Raises:
        ValueError: No row has figures.
    """
    rows, peaks = results.measured, results.peaks
    if not rows:
        raise ValueError("no row was measured: there is nothing to draw")
    bars = [
        Bars(
            title="a clip, warm, s (square-root scale)",
            values=[row.total_s().median for row in rows],
            has_root_scale=True,
        ),
        Bars(title="one denoising step, s", values=[row.step_s().median for row in rows]),
        Bars(title="peak memory, GB", values=[row.peak_bytes / 1e9 for row in rows]),
        Bars(
            title="denoising, % of the matrix product's rate",
            values=[100 * (row.flop_share("denoise", peaks) or 0.0) for row in rows],
        ),
    ]
    computed = [row.how == "calls" for row in rows]
    return bar_chart([row.name for row in rows], bars, marked=computed, mark="total computed from calls")


def seconds_text(seconds: float) -> str:
    """Three digits, or whole seconds above 1000: ``0.0123``, ``4.57``, ``1234``."""
    return f"{seconds:.0f}" if seconds >= 1000 else f"{seconds:#.3g}".rstrip(".")


def _variables_text(variables: dict[str, str]) -> str:
    told = ", ".join(f"`{name}={value}`" for name, value in variables.items())
    return f" Set: {told}." if told else ""


def _peaks_text(results: BenchmarkResults) -> str:
    peaks = results.peaks
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in peaks.flop_per_s.items())
    text = (
        f"Measured peaks of this machine: matrix product {rates}; copy {peaks.copy_bytes_per_s / 1e9:,.1f} "
        "GB/s (bytes read and written)."
    )
    if peaks.load_average is not None:
        text += f" Load average before the rows: {peaks.load_average:.1f}."
    if results.drift > WORTH_TELLING_DRIFT:
        text += (
            f" **The matrix rate differed by {results.drift:.0%} before and after the rows: something else "
            "used the machine, or it grew hot. Measure again on a quiet one before you compare.**"
        )
    return text


def _times_table(rows: Sequence[RowResult]) -> str:
    has_published = any(row.published_s is not None for row in rows)
    head = ["row", "a clip, warm", "a clip, cold", "import", "load", "text", "a step", "decode", "write"]
    lines = [
        [
            f"`{row.name}`",
            _spread_text(row.total_s())
            + (", computed" if row.how == "calls" else "")
            + (", one cold round" if row.has_no_warm_round else ""),
            f"{seconds_text(row.cold_total_s())} s" + (", computed" if row.how == "calls" else ""),
            f"{seconds_text(row.import_s)} s",
            f"{seconds_text(row.load_s)} s",
            _spread_text(row.stage_s("text")),
            _spread_text(row.step_s()),
            _spread_text(row.stage_s("decode")),
            _spread_text(row.stage_s("write")),
            *([_published_text(row)] if has_published else []),
        ]
        for row in rows
    ]
    return _table([*head, *(["paper"] if has_published else [])], lines)


def _costs_table(results: BenchmarkResults) -> str:
    peaks = results.peaks
    head = ["row", "weights", "U-Net", "clip", "steps x passes", "tokens of a pass", "operations of a clip"]
    head += ["peak memory", "of the matrix product: text, denoise, decode", "of the copy: denoise"]
    lines = [
        [
            f"`{row.name}`",
            row.weights,
            f"{row.parameters['unet'] / 1e6:,.1f} M",
            _clip_text(row.plan),
            f"{row.plan.num_inference_steps} x {row.plan.passes_per_step}",
            f"{row.tokens['latent']:,} + {row.tokens['text']}",
            f"{sum(row.flop.values()) / 1e12:,.4g} T",
            _memory_text(row),
            ", ".join(_percent(row.flop_share(stage, peaks)) for stage in ("text", "denoise", "decode")),
            _percent(row.copy_share(peaks)),
        ]
        for row in results.measured
    ]
    return _table(head, lines)


def _memory_table(rows: Sequence[RowResult]) -> str:
    head = ["peak memory: first round / later ones", *STAGES]
    lines = [[f"`{row.name}`", *(_stage_memory_text(row, stage) for stage in STAGES)] for row in rows]
    return _table(head, lines)


def _stage_memory_text(row: RowResult, stage: Stage) -> str:
    if row.cold_peak_bytes is None or row.warm_peak_bytes is None:
        return "not measured"
    cold, warm = row.cold_peak_bytes[stage], row.warm_peak_bytes[stage]
    return f"{cold / 1e9:.2f} / {warm / 1e9:.2f} GB"


def _notes(rows: Sequence[RowResult]) -> list[str]:
    notes = [
        "Warm times are medians (lowest to highest) over the rounds after the first. A cold clip is the "
        "first one of a fresh process, import and load included. Operations count a multiply and an add as "
        "two; tokens are latent positions and text tokens. Peak memory is that of the row's own process, on "
        "a GPU that of torch's allocator; that of a stage counts all that is in memory then, weights too."
    ]
    if any(row.cold_peak_bytes is None for row in rows):
        notes.append("This system cannot tell peak memory by stage: only Linux and GPUs can.")
    if any(row.how == "calls" for row in rows):
        notes.append(
            "**Computed** totals: a whole clip was too slow here, so single calls were timed, and the total "
            "is text + steps x one step + slices x one slice of frames decoded + write. Peak memory is that "
            "of these calls."
        )
    if any(row.has_no_warm_round for row in rows):
        notes.append(
            "**One cold round**: the first took all the seconds that a row may take, so nothing was measured "
            "warm; `--limit` with more of them changes that."
        )
    if any(row.weights != "release" for row in rows):
        notes.append(
            "Rows with random weights make them instead of reading a file: their load time is not that of a "
            "release, and their clips are noise, which takes the encoder longer than a real clip."
        )
    if any(row.published_s is not None for row in rows):
        notes.append(
            "Paper: Table 2 of arXiv:2503.18559, fp16 on one AMD Instinct MI250. It does not say whether "
            "text, decoding and writing are counted."
        )
    return notes


def _failure_list(failed: Sequence[RowFailure]) -> str:
    return "\n".join(f"* `{row.name}`: {failure_text(row)}" for row in failed)


def failure_text(row: RowFailure) -> str:
    """Why a row has no figures, in one line."""
    peak = "" if row.peak_bytes is None else f" (at least {row.peak_bytes / 1e9:.2f} GB were in use)"
    return f"{row.reason}: {row.message}{peak}"


def _spread_text(spread: Spread) -> str:
    text = f"{seconds_text(spread.median)} s"
    if spread.count == 1:
        return text
    return f"{text} ({seconds_text(spread.low)} to {seconds_text(spread.high)})"


def _published_text(row: RowResult) -> str:
    return "" if row.published_s is None else f"{row.published_s:g} s"


def _clip_text(plan: ClipPlan) -> str:
    return f"{plan.num_frames} frames of {plan.width}x{plan.height}"


def _memory_text(row: RowResult) -> str:
    text = f"{row.peak_bytes / 1e9:.2f} GB"
    if row.peak_device_bytes is None:
        return text
    return f"{text} on the GPU, {row.peak_resident_bytes / 1e9:.2f} GB of the process"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3g} %"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
