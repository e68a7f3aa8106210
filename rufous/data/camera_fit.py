"""The motion of the camera between pairs of frames, as a similarity that most of the picture follows.

Each cell of a grid votes with its structure tensor, so that an edge speaks across itself only and a flat cell
not at all. Starts come from optical flow by random samples (RANSAC); from there the pixels themselves decide,
by robust Gauss-Newton steps on differences of brightness.

Sources: Fischler and Bolles 1981 (RANSAC); Odobez and Bouthemy 1995 (robust estimation of parametric motion).

Shapes: p pairs, n cells, k samples; motions are (right, down, growth, turn): shifts in shorter sides, growth
as a share of the size, turn in radians, clockwise on the screen; of the picture's content, about its middle.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rufous.core.optional import require
from rufous.data.pair_flow import PairFlow

WORK_SIDE = 90
"""Pixels of the shorter side at which brightness is compared."""
CELL = 4
MIN_GRADIENT = 1.5
"""Levels a pixel, root mean square over a cell; a cell with less does not vote."""
TOLERANCE_PX = 0.3
"""How far across its edges a cell may lie off a motion and still follow it."""
MIN_TOLD = 0.2
"""Share of a cell's structure that must lie across a shift for the cell to tell it."""
NUM_SAMPLES = 32
RIDGE = np.array([1e-3, 1e-3, 1e-4, 1e-4], dtype=np.float32)
"""Pull to zero of what no cell tells, such as a shift along stripes; per vote."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the cells lie."""

    height: int
    """Of the frames at which brightness is compared, in pixels."""
    width: int

    @property
    def side(self) -> int:
        """The shorter side in pixels."""
        return min(self.height, self.width)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height // CELL, self.width // CELL

    @cached_property
    def points(self) -> np.ndarray:
        """Centres (x, y) in shorter sides from the middle of the frame [n 2]."""
        rows, columns = self.shape
        y = ((np.arange(rows) + 0.5) / rows - 0.5) * self.height / self.side
        x = ((np.arange(columns) + 0.5) / columns - 0.5) * self.width / self.side
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)

    @property
    def mean_radius(self) -> float:
        """Root mean square distance of the pixels from the middle, in shorter sides."""
        return math.hypot(self.height, self.width) / (math.sqrt(12) * self.side)

    def border_blocks(self, blocks: int) -> np.ndarray:
        """Of ``blocks`` by ``blocks`` parts of the frame, which one at its border holds a cell, or -1 [n]."""
        reach = np.array([self.width, self.height]) / self.side
        column, row = np.clip((self.points / reach + 0.5) * blocks, 0, blocks - 1).astype(int).T
        is_border = (np.minimum(row, column) == 0) | (np.maximum(row, column) == blocks - 1)
        return np.where(is_border, row * blocks + column, -1)

    @cached_property
    def design(self) -> np.ndarray:
        """Shift in pixels of each cell under unit motions [n 2 4]."""
        x, y = self.points.T
        one, zero = np.ones_like(x), np.zeros_like(x)
        right, down = np.stack([one, zero, x, -y], axis=-1), np.stack([zero, one, y, x], axis=-1)
        return self.side * np.stack([right, down], axis=1)


@dataclass(frozen=True, eq=False)
class Votes:
    """How far each cell lies off a motion m, squared, in pixels: ``m A m - 2 b m + c``."""

    a: np.ndarray
    """[p n 4 4]"""
    b: np.ndarray
    """[p n 4]"""
    c: np.ndarray
    """[p n]"""

    def off(self, motions: np.ndarray) -> np.ndarray:
        """Squared distances [p k n] of motions [p k 4]."""
        pairs, samples = motions.shape[:2]
        squares = (motions[..., :, None] * motions[..., None, :]).reshape(pairs, samples, 16)
        quadratic = squares @ self.a.reshape(pairs, -1, 16).transpose(0, 2, 1)
        linear = motions @ self.b.transpose(0, 2, 1)
        return np.maximum(quadratic - 2 * linear + self.c[:, None], 0)

    def solve(self, weights: np.ndarray, *, side: int) -> np.ndarray:
        """Motions [p k 4] that fit best under weights [p k n]."""
        pairs, samples = weights.shape[:2]
        a = (weights @ self.a.reshape(pairs, -1, 16)).reshape(pairs, samples, 4, 4)
        ridge = side**2 * RIDGE * np.maximum(weights.sum(axis=-1), 1e-3)[..., None]
        return np.linalg.solve(
            a + ridge[..., None] * np.eye(4, dtype=np.float32), (weights @ self.b)[..., None]
        )[..., 0]


@dataclass(frozen=True, eq=False)
class PairMotions:
    """One motion for each pair, and which voters follow it or differ; what leaves the frame does neither."""

    motions: np.ndarray
    """[p 4]"""
    follows: np.ndarray
    """[p n]"""
    differs: np.ndarray
    """[p n]"""


def _sampled(votes: Votes, voters: np.ndarray, rng: np.random.Generator, *, side: int) -> np.ndarray:
    """The best of motions [p 4] through three random voters each, of no motion and of the mean motion."""
    num_pairs, num_cells = voters.shape
    weights = np.zeros((num_pairs, NUM_SAMPLES, num_cells), dtype=np.float32)
    weights[:, 0] = voters
    for pair in np.flatnonzero(voters.any(axis=1)):
        chosen = rng.choice(np.flatnonzero(voters[pair]), size=(NUM_SAMPLES - 1, 3))
        np.put_along_axis(weights[pair, 1:], chosen, 1.0, axis=-1)
    motions = votes.solve(weights, side=side)
    motions = np.concatenate([np.zeros_like(motions[:, :1]), motions], axis=1)
    cost = np.minimum(votes.off(motions), (2 * TOLERANCE_PX) ** 2) @ voters[..., None].astype(np.float32)
    best = cost[..., 0].argmin(axis=1)
    return motions[np.arange(num_pairs), best]


def _reweighted(
    votes: Votes, motions: np.ndarray, voters: np.ndarray, *, side: int, tolerance: float = 2 * TOLERANCE_PX
) -> np.ndarray:
    """Motions [p 4] by three rounds of least squares in which what lies far off counts less (Tukey)."""
    for _ in range(3):
        off = votes.off(motions[:, None])
        weights = voters[:, None] * np.maximum(1 - off / tolerance**2, 0) ** 2
        motions = votes.solve(weights.astype(np.float32), side=side)[:, 0]
    return motions


class PairFitter:
    """Fits motions to pairs of frames; owns their brightness and gradients at low resolution."""

    def __init__(self, frames: np.ndarray, flow: PairFlow, *, max_pairs: int = 16) -> None:
        """Prepare the pairs.

        Args:
            frames: Luma, uint8, ``f h w``: those that the flow was computed of.
            flow: Of pairs among them.
            max_pairs: With more, every second, third and so on is taken.
        """
        self.cv2 = require("cv2", extra="curate")
        height, width = frames.shape[1:]
        scale = min(1.0, WORK_SIDE / min(height, width))
        self.grid = Grid(round(height * scale), round(width * scale))
        taken = slice(None, None, -(-len(flow.first) // max_pairs))
        first, self.seconds = flow.first[taken], flow.seconds[taken]
        pictures = {i: self._smooth(frames[i]) for i in np.unique([first, first + flow.gap])}
        self.pictures = [(pictures[i], pictures[i + flow.gap]) for i in first]
        self.slopes = [self._slopes(picture) for picture, _ in self.pictures]
        products = [(gx * gx, gx * gy, gy * gy) for gx, gy in self.slopes]
        xx, xy, yy = self._cells(products)
        energy = xx + yy
        self.textured = energy > MIN_GRADIENT**2
        self.norm = 1 / np.maximum(energy, MIN_GRADIENT**2)
        self.tensor = (
            np.stack([xx, xy, xy, yy], axis=-1).reshape(*xx.shape, 2, 2) * self.norm[..., None, None]
        )
        projected = self.tensor @ self.grid.design
        self.a = np.swapaxes(self.grid.design, 1, 2) @ projected
        self.flow = self._flow_of_cells(flow.flow[taken], self.grid.side / flow.short_side, products)

    def fit_near(self, motions: np.ndarray) -> PairMotions:
        """The motion that most cells follow, close to motions [p 4] that are known about."""
        return self._refined(motions.astype(np.float32), self.textured)

    def fit(self, voters: np.ndarray | None = None, *, from_rest: bool = False) -> PairMotions:
        """The motion that most of the voters follow.

        Args:
            voters: Which cells [p n]; all with texture when None.
            from_rest: Begin at no motion too, where flow is unsure, and keep what more voters follow.
        """
        voters = self.textured if voters is None else voters
        starts = _sampled(self._votes(self.flow), voters, np.random.default_rng(0), side=self.grid.side)
        found = self._refined(starts, voters)
        if not from_rest:
            return found
        other = self._refined(np.zeros_like(starts), voters)
        better = (other.follows.sum(axis=1) > found.follows.sum(axis=1))[:, None]
        return PairMotions(
            np.where(better, other.motions, found.motions),
            np.where(better, other.follows, found.follows),
            np.where(better, other.differs, found.differs),
        )

    def cover(self, follows: np.ndarray, blocks: int) -> np.ndarray:
        """Share of the blocks at the border [p 4] where cells that follow [p n] can tell a part of a motion.

        Vertical stripes, for example, tell shifts to the right everywhere and shifts down nowhere.
        """
        away = np.linalg.norm(self.grid.points, axis=-1, keepdims=True)
        x, y = (self.grid.points / np.maximum(away, 1e-6)).T  # a cell may lie in the very middle
        one, zero = np.ones_like(x), np.zeros_like(x)
        ways = np.stack([[one, zero], [zero, one], [x, y], [-y, x]]).transpose(2, 0, 1)
        tells = np.einsum("nki,pnij,nkj->pnk", ways, self.tensor, ways) > MIN_TOLD
        tells &= follows[..., None]
        block = self.grid.border_blocks(blocks)
        numbers = np.unique(block[block >= 0])
        told = [tells[:, block == number].sum(axis=1) >= 2 for number in numbers]
        return np.mean(told, axis=0)

    def _votes(self, shifts: np.ndarray) -> Votes:
        """From each cell's own shift in pixels [p n 2]."""
        pull = np.einsum("pnij,pnj->pni", self.tensor, shifts)
        return Votes(self.a, np.einsum("nik,pni->pnk", self.grid.design, pull), (pull * shifts).sum(axis=-1))

    def _refined(self, motions: np.ndarray, voters: np.ndarray) -> PairMotions:
        """Gauss-Newton steps from motions [p 4]; the last tells which of the voters follow."""
        follows, inside = voters, voters
        for _ in range(3):
            pull = (
                np.stack(
                    self._cells([self._mismatch(i, motion) for i, motion in enumerate(motions)]), axis=-1
                )
                * self.norm[..., None]
            )
            ridged = self.tensor + 1e-2 * np.eye(2, dtype=np.float32)
            local = np.linalg.solve(ridged, pull[..., None])[..., 0]
            votes = Votes(
                self.a, np.einsum("nik,pni->pnk", self.grid.design, pull), (pull * local).sum(axis=-1)
            )
            inside = voters & self._inside(motions)
            step = _reweighted(votes, np.zeros_like(motions), inside, side=self.grid.side)
            motions = motions + step
            follows = inside & (votes.off(step[:, None])[:, 0] < TOLERANCE_PX**2)
        return PairMotions(motions, follows, inside & ~follows)

    def _mismatch(self, pair: int, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients times the change of brightness that the motion leaves."""
        first, second = self.pictures[pair]
        right, down, growth, turn = (float(each) for each in motion)
        middle_x, middle_y = (self.grid.width - 1) / 2, (self.grid.height - 1) / 2
        matrix = np.array(
            [
                [1 + growth, -turn, right * self.grid.side - growth * middle_x + turn * middle_y],
                [turn, 1 + growth, down * self.grid.side - turn * middle_x - growth * middle_y],
            ]
        )
        flags = self.cv2.INTER_LINEAR | self.cv2.WARP_INVERSE_MAP
        size = (self.grid.width, self.grid.height)
        back = self.cv2.warpAffine(second, matrix, size, flags=flags, borderMode=self.cv2.BORDER_REPLICATE)
        change = first - back
        change -= np.median(change[::3, ::3])  # a flash, or a fade
        gx, gy = self.slopes[pair]
        return gx * change, gy * change

    def _inside(self, motions: np.ndarray) -> np.ndarray:
        """Whether a cell is still in the frame after the motion [p n]."""
        moved = self.grid.points + np.einsum("nik,pk->pni", self.grid.design, motions) / self.grid.side
        limits = np.array([self.grid.width, self.grid.height]) / (2 * self.grid.side) - CELL / self.grid.side
        return (np.abs(moved) < limits).all(axis=-1)

    def _smooth(self, frame: np.ndarray) -> np.ndarray:
        size = (self.grid.width, self.grid.height)
        small = self.cv2.resize(frame, size, interpolation=self.cv2.INTER_AREA).astype(np.float32)
        return self.cv2.GaussianBlur(small, (0, 0), 0.8)

    def _slopes(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple(self.cv2.Sobel(picture, self.cv2.CV_32F, *xy, scale=1 / 8) for xy in ((1, 0), (0, 1)))  # type: ignore[return-value]

    def _cells(self, fields: list[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
        """Means over cells [p n] of several fields of each pair."""
        rows, columns = self.grid.shape
        means = np.stack(
            [
                [
                    self.cv2.resize(each, (columns, rows), interpolation=self.cv2.INTER_AREA)
                    for each in of_pair
                ]
                for of_pair in fields
            ]
        )
        return list(means.reshape(*means.shape[:2], -1).swapaxes(0, 1))

    def _flow_of_cells(
        self, flow: np.ndarray, scale: float, products: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        """Flow where the gradients are, in pixels of the grid's frames [p n 2]."""
        size = (self.grid.width, self.grid.height)
        fields = list[tuple[np.ndarray, ...]]()
        for each, (xx, _, yy) in zip(flow, products, strict=True):
            small = self.cv2.resize(each, size, interpolation=self.cv2.INTER_AREA) * scale
            energy = xx + yy
            fields.append((energy * small[..., 0], energy * small[..., 1]))
        return np.stack(self._cells(fields), axis=-1) * self.norm[..., None]
