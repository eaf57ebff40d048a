"""Procedural printed things: posters, book spines, screens, doors, windows, boards, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from .textures import Color, fractal_noise, painted, speckled, to_uint8, vary, wood

if TYPE_CHECKING:
    from ...core.geometry.arrays import UInt8Image

_WORDS = (
    "harbor light museum ocean garden winter signal mountain theory music atlas physics river "
    "stories modern design city lantern festival open night paper orchid radio engine summer "
    "compass anthology field guide history voyage planet jazz market northern lights cinema"
).split()
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
)


def random_color(
    rng: np.random.Generator, saturation: float = 0.6, hues: tuple[float, float] = (0.0, 180.0)
) -> Color:
    """Return a random RGB color (0..255) of given saturation, hue in OpenCV's 0..180."""
    hsv = np.array([[[rng.uniform(*hues), 255 * saturation * rng.uniform(0.35, 1.0),
                      rng.uniform(70, 235)]]])
    rgb = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    return float(rgb[0]), float(rgb[1]), float(rgb[2])


def phrase(rng: np.random.Generator, words: int) -> str:
    """Return a few random words."""
    return " ".join(_WORDS[int(k)] for k in rng.integers(0, len(_WORDS), words))


def text_line(
    image: UInt8Image, text: str, left: int, base: int, width: int, height: int, color: Color,
    rng: np.random.Generator,
) -> None:
    """Draw `text` in place, as large as fits a box of `width` x `height` texels."""
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    (w1, h1), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(width / max(w1, 1), height / max(h1, 1))
    thickness = max(1, int(round(scale * rng.uniform(1.0, 2.2))))
    cv2.putText(image, text, (left, base), font, scale, color, thickness, cv2.LINE_AA)


def landscape(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a photo-like landscape: sky with clouds, sun, ridges in haze, water or meadow."""
    dusk = rng.random() < 0.35
    sky = np.asarray(random_color(rng, 0.7, (4, 24) if dusk else (98, 124)), np.float32)
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    fade = (1 - t) * sky * 0.75 + t * (0.3 * sky + 170)
    image = np.broadcast_to(fade, (height, width, 3)).copy()
    clouds = fractal_noise(rng, height, width, max(8.0, height / 2.5), 5, 0.55, 2.2)
    image += np.clip(clouds, 0, 2)[..., None] * 38
    sun = (int(rng.uniform(0.15, 0.85) * width), int(rng.uniform(0.12, 0.4) * height))
    cv2.circle(image, sun, max(2, height // 14), (255, 240, 205), -1, cv2.LINE_AA)
    columns = np.arange(width)
    rows = np.arange(height)[:, None]
    ground = np.asarray(random_color(rng, 0.8, (12, 75)), np.float32)
    layers = int(rng.integers(3, 6))
    for k in range(layers):
        profile = fractal_noise(rng, 2, width, max(6.0, width / (2.0 + 2 * k)), 5, 0.5)[0]
        share = k / layers
        level = height * (0.4 + 0.5 * share + 0.08 * profile * (1 - 0.5 * share))
        haze = (k + 1) / layers
        hill = ground * (0.25 + 0.3 * haze) + (1 - haze) * np.float32(110)
        shade = 1 + 0.22 * fractal_noise(rng, height, width, max(4.0, height / 9), 4, 0.7)
        mask = rows > level[columns][None]
        image[mask] = (hill * shade[..., None])[mask]
    for _ in range(int(rng.integers(4, 14))):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0.7, 0.98) * height)
        size = rng.uniform(0.04, 0.16) * height
        tone = vary(rng, (40, 70, 35), 0.3)
        tree = np.array([[x - size * 0.35, y], [x, y - size * 1.5], [x + size * 0.35, y]])
        cv2.fillConvexPoly(image, tree.astype(np.int32), tone, cv2.LINE_AA)
    return to_uint8(image)


def abstract_print(
    rng: np.random.Generator, height: int, width: int, texel_m: float
) -> UInt8Image:
    """Paint a geometric art print."""
    image = np.full((height, width, 3), random_color(rng, 0.25), np.float32)
    for _ in range(int(rng.integers(6, 16))):
        tone = random_color(rng, 0.8)
        center = rng.uniform((0, 0), (width, height))
        size = rng.uniform(0.06, 0.33) * min(height, width)
        kind = int(rng.integers(4))
        if kind == 0:
            cv2.circle(image, (int(center[0]), int(center[1])), int(size), tone, -1, cv2.LINE_AA)
        elif kind == 1:
            corners = center + size * rng.normal(0, 1, (3, 2))
            cv2.fillConvexPoly(image, corners.astype(np.int32), tone, cv2.LINE_AA)
        elif kind == 2:
            cv2.circle(image, (int(center[0]), int(center[1])), int(size), tone,
                       max(2, int(0.15 * size)), cv2.LINE_AA)
        else:
            end = center + rng.normal(0, 2 * size, 2)
            cv2.line(image, (int(center[0]), int(center[1])), (int(end[0]), int(end[1])), tone,
                     max(2, int(0.12 * size)), cv2.LINE_AA)
    shade = 1 + 0.03 * fractal_noise(rng, height, width, 30.0, 4)
    return to_uint8(image * shade[..., None])


def text_page(
    rng: np.random.Generator, height: int, width: int, texel_m: float,
    paper: Color = (236, 233, 224), ink: Color = (45, 45, 50),
) -> UInt8Image:
    """Paint a printed page: a headline, a figure and lines of words."""
    image = np.full((height, width, 3), paper, np.uint8)
    margin = width // 12
    head = max(5, height // 12)
    text_line(image, phrase(rng, 2).upper(), margin, margin + head, width - 2 * margin, head,
              random_color(rng, 0.9) if rng.random() < 0.5 else ink, rng)
    y = margin + 2 * head
    step = max(4, int(height / rng.uniform(14, 26)))
    if rng.random() < 0.6:
        figure = abstract_print if rng.random() < 0.5 else landscape
        tall, wide = max(4, height // 4), max(4, width - 2 * margin)
        patch = figure(rng, tall, wide, texel_m)[: max(0, height - y)]
        image[y : y + tall, margin : margin + wide] = patch
        y += tall + step
    while y < height - margin:
        cut = rng.uniform(0.55, 1.0)
        text_line(image, phrase(rng, int(rng.integers(3, 7))), margin, y + step,
                  int((width - 2 * margin) * cut), int(step * 0.55), ink, rng)
        y += step
    return image


def poster(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a framed poster: picture, art print or text, with a caption."""
    kind = rng.random()
    if kind < 0.2:
        image = text_page(rng, height, width, texel_m, random_color(rng, 0.3))
    else:
        image = (landscape if kind < 0.65 else abstract_print)(rng, height, width, texel_m)
        bar = max(6, height // 7)
        if rng.random() < 0.7:
            tone = np.asarray(random_color(rng, 0.4))
            image[-bar:] = tone
            ink = (20.0, 20.0, 25.0) if tone.mean() > 120 else (240.0, 240.0, 235.0)
            text_line(image, phrase(rng, 2).upper(), width // 12, height - bar // 3,
                      width - width // 6, bar // 3, ink, rng)
    edge = max(1, int(0.014 / texel_m))
    frame = (30.0, 28.0, 26.0) if rng.random() < 0.5 else (225.0, 222.0, 214.0)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), frame, 2 * edge)
    return image


def book_row(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a row of book spines with rotated titles."""
    image = np.full((height, width, 3), 24, np.uint8)
    x = 0
    while x < width - 4:
        thick = min(width - x, max(4, int(rng.uniform(0.016, 0.05) / texel_m)))
        tall = int(height * rng.uniform(0.8, 1.0))
        spine = np.full((thick, tall, 3), vary(rng, random_color(rng, 0.7), 0.1), np.uint8)
        light = float(spine[0, 0].mean()) < 130
        ink = (235.0, 225.0, 190.0) if light else (25.0, 25.0, 35.0)
        if rng.random() < 0.6:
            band = int(tall * rng.uniform(0.05, 0.2))
            spine[:, band : band + max(2, tall // 30)] = ink
            spine[:, tall - band - max(2, tall // 30) : tall - band] = ink
        text_line(spine, phrase(rng, int(rng.integers(1, 4))).title(), tall // 5,
                  int(thick * 0.68), int(tall * 0.6), int(thick * 0.42), ink, rng)
        round_off = 0.72 + 0.28 * np.sin(np.linspace(0.25, np.pi - 0.25, thick)).astype(np.float32)
        upright = np.rot90(to_uint8(spine * round_off[:, None, None]), 3)
        image[height - tall :, x : x + thick] = upright
        x += thick + int(rng.random() < 0.12) * int(0.01 / texel_m)
    return image


def screen(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a computer screen in its black bezel: an editor window and a picture or plot."""
    image = np.full((height, width, 3), (28, 32, 42), np.uint8)
    step = max(5, height // 24)
    image[: step + 2] = (60, 66, 80)
    y = 2 * step
    while y < height - step:
        x = step + int(rng.integers(0, 5)) * step
        for _ in range(int(rng.integers(1, 6))):
            word = phrase(rng, 1)
            wide = int(len(word) * step * 0.55)
            if x + wide > width * 0.6:
                break
            text_line(image, word, x, y, wide, int(step * 0.6), random_color(rng, 0.5), rng)
            x += wide + step
        y += step
    left, top, bottom = int(0.62 * width), 2 * step, int(0.62 * height)
    image[top:bottom, left : width - step] = landscape(
        rng, bottom - top, width - step - left, texel_m)
    curve = fractal_noise(rng, 2, width - step - left, 20.0, 4)[0]
    level = 0.82 * height - curve * 0.06 * height
    points = np.stack([np.arange(left, width - step), level], 1).astype(np.int32)
    cv2.polylines(image, [points], False, (120, 220, 140), 2, cv2.LINE_AA)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (14, 14, 16), 2 * max(2, width // 50))
    return image


def keyboard(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint keys in rows."""
    image = np.full((height, width, 3), (38, 38, 42), np.uint8)
    size = height / 5.4
    for row in range(5):
        for column in range(int(width / size)):
            x, y = int((column + 0.2 * (row % 2) + 0.15) * size), int((row + 0.25) * size)
            x1, y1 = int(x + 0.8 * size), int(y + 0.78 * size)
            cv2.rectangle(image, (x, y), (x1, y1), vary(rng, (78, 78, 84), 0.08), -1)
            cv2.putText(image, chr(65 + int(rng.integers(26))), (x + 2, y1 - 3),
                        cv2.FONT_HERSHEY_SIMPLEX, size / 55, (220, 220, 220), 1, cv2.LINE_AA)
    return image


def window_view(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint what is seen through a window: sky, houses, trees, in a white frame with bars."""
    image = landscape(rng, height, width, texel_m).astype(np.float32)
    x = 0.0
    while x < width:
        wide, top = rng.uniform(0.12, 0.3) * width, int(rng.uniform(0.35, 0.65) * height)
        tone = vary(rng, (170, 140, 120), 0.2)
        cv2.rectangle(image, (int(x), top), (int(x + wide), height), tone, -1)
        pane = max(3, int(0.045 * height))
        for row in range(top + pane, height - pane, 3 * pane):
            for column in range(int(x) + pane, int(x + wide) - 2 * pane, 3 * pane):
                cv2.rectangle(image, (column, row), (column + pane, row + 2 * pane - 2),
                              vary(rng, (70, 80, 100), 0.3), -1)
        x += wide + rng.uniform(0.02, 0.2) * width
    out = to_uint8(0.8 * image + 45)
    bar = max(2, int(0.05 / texel_m))
    white = (228.0, 226.0, 220.0)
    cv2.rectangle(out, (0, 0), (width - 1, height - 1), white, 2 * bar)
    cv2.line(out, (width // 2, 0), (width // 2, height), white, bar)
    cv2.line(out, (0, height // 3), (width, height // 3), white, bar)
    return out


def door(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a panelled wooden door with frame and handle."""
    image = wood((166.0, 122.0, 82.0))(rng, width, height, texel_m).transpose(1, 0, 2)
    canvas = np.ascontiguousarray(image[:height, :width]).astype(np.float32)
    frame = max(2, int(0.06 / texel_m))
    for top, bottom in ((0.06, 0.45), (0.52, 0.94)):
        p0 = (int(0.2 * width), int(top * height))
        p1 = (int(0.8 * width), int(bottom * height))
        cv2.rectangle(canvas, p0, p1, (105, 74, 48), max(2, frame // 4))
        cv2.rectangle(canvas, (p0[0] + frame // 3, p0[1] + frame // 3), p1, (195, 152, 108), 1)
    handle = (int(0.87 * width), int(0.52 * height))
    cv2.circle(canvas, handle, max(2, int(0.03 / texel_m)), (190, 188, 180), -1, cv2.LINE_AA)
    cv2.line(canvas, handle, (handle[0] - int(0.11 / texel_m), handle[1]), (210, 208, 200),
             max(2, int(0.018 / texel_m)), cv2.LINE_AA)
    cv2.rectangle(canvas, (0, 0), (width - 1, height), (222, 216, 204), 2 * frame)
    return to_uint8(canvas)


def pinboard(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a cork board covered with rotated pages, photos and notes."""
    image = speckled((176.0, 132.0, 86.0), 0.16)(rng, height, width, texel_m)
    for _ in range(max(5, int(16 * height * width * texel_m**2))):
        tall = max(10, int(rng.uniform(0.12, 0.3) / texel_m))
        wide = max(10, int(tall * rng.uniform(0.65, 1.3)))
        kind = rng.random()
        if kind < 0.5:
            page = text_page(rng, tall, wide, texel_m)
        elif kind < 0.8:
            page = landscape(rng, tall, wide, texel_m)
        else:
            page = text_page(rng, tall, wide, texel_m, random_color(rng, 0.5))
        _paste_rotated(image, page, rng)
    edge = max(2, int(0.02 / texel_m))
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (120, 92, 62), 2 * edge)
    return image


def _paste_rotated(image: UInt8Image, page: UInt8Image, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    tall, wide = page.shape[:2]
    center = rng.uniform((0.1 * width, 0.12 * height), (0.9 * width, 0.88 * height))
    M = cv2.getRotationMatrix2D((wide / 2, tall / 2), float(rng.normal(0, 5)), 1.0)
    M[:, 2] += center - (wide / 2, tall / 2)
    size = (width, height)
    mask = cv2.warpAffine(np.full((tall, wide), 255, np.uint8), M, size)
    warped = cv2.warpAffine(page, M, size)
    image[mask > 127] = np.asarray(warped)[mask > 127]
    cv2.circle(image, (int(center[0]), int(center[1] - 0.4 * tall)), max(2, tall // 25),
               random_color(rng, 1.0), -1, cv2.LINE_AA)


def whiteboard(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a whiteboard with a handwritten list, boxes and arrows."""
    image = painted((232.0, 234.0, 236.0), 0.015, 0.005)(rng, height, width, texel_m)
    inks: tuple[Color, ...] = ((30, 40, 150), (170, 30, 35), (25, 110, 60), (30, 30, 30))
    step = max(8, int(0.085 / texel_m))
    for k, y in enumerate(range(2 * step, height - step, step)):
        text_line(image, phrase(rng, 2), step, y, int(width * 0.38), int(0.6 * step),
                  inks[k % 4], rng)
    boxes = rng.uniform((0.52 * width, 0.12 * height), (0.84 * width, 0.8 * height), (5, 2))
    for k, (x, y) in enumerate(boxes):
        end = boxes[(k + 1) % 5]
        cv2.arrowedLine(image, (int(x), int(y)), (int(end[0]), int(end[1])), inks[k % 4],
                        max(1, int(0.006 / texel_m)), cv2.LINE_AA)
        cv2.rectangle(image, (int(x), int(y)), (int(x) + 2 * step, int(y) + step), inks[3], 2)
        text_line(image, phrase(rng, 1), int(x) + 3, int(y) + int(0.7 * step), int(1.8 * step),
                  int(0.4 * step), inks[(k + 1) % 4], rng)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (150, 152, 156),
                  2 * max(2, int(0.012 / texel_m)))
    return image


def carton(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a cardboard box with tape and a printed label."""
    image = speckled((172.0, 132.0, 92.0), 0.05)(rng, height, width, texel_m)
    tape = max(2, int(0.05 / texel_m))
    image[:, width // 2 - tape // 2 : width // 2 + tape // 2] = (198, 172, 128)
    tall, wide = max(6, int(0.4 * height)), max(6, int(0.4 * width))
    label = text_page(rng, tall, wide, texel_m)
    y, x = int(rng.uniform(0.1, 0.5) * height), int(rng.uniform(0.05, 0.5) * width)
    image[y : y + tall, x : x + wide] = label
    return image


def clock_face(rng: np.random.Generator, height: int, width: int, texel_m: float) -> UInt8Image:
    """Paint a clock."""
    image = np.full((height, width, 3), (240, 238, 230), np.uint8)
    center, radius = (width // 2, height // 2), min(height, width) // 2
    cv2.circle(image, center, radius - 2, (40, 40, 44), max(3, radius // 7), cv2.LINE_AA)
    for k in range(12):
        tip = (int(center[0] + 0.72 * radius * np.sin(k * np.pi / 6)),
               int(center[1] - 0.72 * radius * np.cos(k * np.pi / 6)))
        cv2.circle(image, tip, max(1, radius // 18), (30, 30, 30), -1, cv2.LINE_AA)
    for length, thick in ((0.45, 12), (0.66, 20)):
        angle = rng.uniform(0, 2 * np.pi)
        tip = (int(center[0] + length * radius * np.sin(angle)),
               int(center[1] - length * radius * np.cos(angle)))
        cv2.line(image, center, tip, (20, 20, 20), max(2, radius // thick), cv2.LINE_AA)
    return image
