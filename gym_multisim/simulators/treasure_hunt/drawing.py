"""Pictures of the treasure hunt, in NumPy alone.

Every shape is a signed distance (below 0 inside) over one square whose coordinates run from −1 to
1, x to the right and y down. Its edge is softened over one pixel; shapes are laid over one another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gym_multisim.simulators.treasure_hunt.world import BONE, FOOD, GEM, WALL

_PIXELS = 24  # per cell
_LARGEST_FRAME = 1008  # pixels; worlds too large for it get smaller cells
_SMALLEST_CELL = 6

_FLOOR = ((233, 237, 226), (225, 230, 217))
_HUNTERS = (
    (240, 130, 48),
    (142, 84, 200),
    (222, 62, 110),
    (24, 160, 164),
    (214, 172, 20),
    (120, 82, 58),
    (90, 104, 222),
    (196, 92, 196),
)
_TINT = 0.10
_OUTLINE = 0.55

_Image = NDArray[np.floating[Any]]
_Colour = tuple[int, int, int]


def draw_world(
    cells: NDArray[np.uint8], hunters: NDArray[np.intp], vision_radius: int
) -> NDArray[np.uint8]:
    """Draw one arena.

    Args:
        cells: The cell codes, outer wall included, shape ``(side, side)``.
        hunters: Row and column of each agent in ``cells``, shape ``(agents, 2)``.
        vision_radius: How far each agent sees, for the outlines.

    Returns:
        An RGB frame, shape ``(side × pixels, side × pixels, 3)``.
    """
    side = len(cells)
    pixels = int(np.clip(_LARGEST_FRAME // side, _SMALLEST_CELL, _PIXELS))
    checkers = np.add.outer(np.arange(side), np.arange(side)) % 2
    frame = _scaled_up(np.array(_FLOOR, np.float32)[checkers], pixels)
    for number, place in enumerate(hunters):
        _draw_sight(frame, place, vision_radius, _HUNTERS[number % len(_HUNTERS)], pixels)
    for code, sprite in _sprites(pixels).items():
        for row, column in np.argwhere(cells == code):
            _lay(frame, sprite, row * pixels, column * pixels)
    for number, (row, column) in enumerate(hunters):
        sprite = _hunter(_HUNTERS[number % len(_HUNTERS)], pixels)
        _lay(frame, sprite, row * pixels, column * pixels)
    return np.rint(frame).astype(np.uint8)


def _scaled_up(image: _Image, pixels: int) -> _Image:
    return image.repeat(pixels, axis=0).repeat(pixels, axis=1)


def _lay(frame: _Image, sprite: _Image, top: int, left: int) -> None:
    """Lay a square (colour and opacity) over a part of the frame, cut off at the frame's edges."""
    height, width = frame.shape[:2]
    first_row, first_column = max(-top, 0), max(-left, 0)
    sprite = sprite[first_row : height - top, first_column : width - left]
    top, left = max(top, 0), max(left, 0)
    target = frame[top : top + sprite.shape[0], left : left + sprite.shape[1]]
    target += (sprite[..., :3] - target) * sprite[..., 3:]


def _draw_sight(
    frame: _Image, place: NDArray[np.intp], radius: int, colour: _Colour, pixels: int
) -> None:
    sprite = _sight(colour, pixels * (2 * radius + 1))
    top, left = ((place - radius) * pixels).tolist()
    _lay(frame, sprite, top, left)


@lru_cache(maxsize=64)
def _sight(colour: _Colour, pixels: int) -> _Image:
    x, y = _square(pixels)
    line = 2 * 1.5 / pixels
    edge = np.maximum(np.abs(x), np.abs(y)) - (1 - line)
    sprite = _transparent(pixels)
    sprite[..., :3] = colour
    sprite[..., 3] = np.where(edge > 0, _OUTLINE, _TINT)
    return sprite


@lru_cache(maxsize=4)
def _sprites(pixels: int) -> dict[int, _Image]:
    """Return what lies in a cell of each code."""
    return {
        GEM: _gem(pixels),
        FOOD: _food(pixels),
        BONE: _bone(pixels),
        WALL: _wall(pixels),
    }


def _gem(pixels: int) -> _Image:
    x, y = _square(pixels)
    sprite = _with_shadow(pixels)
    shape = (np.abs(x) / 0.62 + np.abs(y) / 0.78 - 1) * 0.48
    _paint(sprite, shape, (22, 70, 140))
    inner = shape + 0.09
    _paint(sprite, inner, (46, 128, 226))
    _paint(sprite, np.maximum(inner, x), (92, 168, 250))
    _paint(sprite, np.maximum(inner, y + 0.14), (128, 196, 255))
    _paint(sprite, np.maximum(np.maximum(inner, y + 0.14), np.abs(x) - 0.2), (190, 228, 255))
    return sprite


def _food(pixels: int) -> _Image:
    x, y = _square(pixels)
    sprite = _with_shadow(pixels)
    _paint(sprite, _capsule(x, y, (0.0, -0.3), (0.14, -0.72), 0.07), (112, 80, 48))
    _paint(sprite, _disc(x, y, 0.0, 0.1, 0.6), (36, 110, 48))
    _paint(sprite, _disc(x, y, 0.0, 0.1, 0.5), (78, 176, 82))
    _paint(sprite, _disc(x, y, -0.18, -0.1, 0.15), (176, 228, 164))
    return sprite


def _bone(pixels: int) -> _Image:
    x, y = _square(pixels)
    knobs = [(0.3, -0.56), (0.56, -0.3), (-0.3, 0.56), (-0.56, 0.3)]
    shape = _capsule(x, y, (-0.4, 0.4), (0.4, -0.4), 0.14)
    for knob_x, knob_y in knobs:
        shape = np.minimum(shape, _disc(x, y, knob_x, knob_y, 0.22))
    sprite = _transparent(pixels)
    _paint(sprite, shape - 0.09, (150, 134, 112))
    _paint(sprite, shape, (255, 250, 236))
    return sprite


def _wall(pixels: int) -> _Image:
    x, y = _square(pixels)
    sprite = _transparent(pixels)
    _paint(sprite, np.full_like(x, -1), (44, 50, 62))
    stone = np.maximum(np.abs(x), np.abs(y)) - 0.92
    _paint(sprite, stone, (88, 98, 116))
    _paint(sprite, np.maximum(stone, 0.12 - np.minimum(x, y) - 0.92), (66, 74, 90))
    return sprite


@lru_cache(maxsize=64)
def _hunter(colour: _Colour, pixels: int) -> _Image:
    x, y = _square(pixels)
    dark: _Colour = (colour[0] // 2, colour[1] // 2, colour[2] // 2)
    sprite = _with_shadow(pixels)
    _paint(sprite, _disc(x, y, 0, 0, 0.86), dark)
    _paint(sprite, _disc(x, y, 0, 0, 0.74), colour)
    for eye in (-0.3, 0.3):
        _paint(sprite, _disc(x, y, eye, -0.12, 0.24), (255, 255, 255))
        _paint(sprite, _disc(x, y, eye, -0.08, 0.12), (30, 30, 40))
    return sprite


def _with_shadow(pixels: int) -> _Image:
    x, y = _square(pixels)
    sprite = _transparent(pixels)
    sprite[..., 3] = 0.22 * np.clip(1.6 - 1.6 * np.hypot(x / 0.7, (y - 0.7) / 0.24), 0, 1)
    return sprite


def _paint(sprite: _Image, distance: _Image, colour: _Colour) -> None:
    """Lay a shape of one colour over a sprite."""
    cover = np.clip(0.5 - distance * len(sprite) / 2, 0, 1)[..., None]
    under = sprite[..., 3:] * (1 - cover)
    opacity = cover + under
    mixed = (cover * np.array(colour, np.float32) + under * sprite[..., :3]) / np.maximum(
        opacity, 1e-6
    )
    sprite[..., :3] = mixed
    sprite[..., 3:] = opacity


def _transparent(pixels: int) -> _Image:
    return np.zeros((pixels, pixels, 4), np.float32)


def _square(pixels: int) -> tuple[_Image, _Image]:
    """Return x and y at the centres of a square's pixels."""
    ticks = ((np.arange(pixels) + 0.5) * 2 / pixels - 1).astype(np.float32)
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    return x, y


def _disc(x: _Image, y: _Image, at_x: float, at_y: float, radius: float) -> _Image:
    distance: _Image = np.hypot(x - at_x, y - at_y) - radius
    return distance


def _capsule(
    x: _Image, y: _Image, start: tuple[float, float], end: tuple[float, float], radius: float
) -> _Image:
    """Return the distance from a thick line with round ends."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    part = ((x - start[0]) * along_x + (y - start[1]) * along_y) / (along_x**2 + along_y**2)
    part = np.clip(part, 0, 1)
    return np.hypot(x - start[0] - part * along_x, y - start[1] - part * along_y) - radius
