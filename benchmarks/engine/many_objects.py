# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Many objects at once: accuracy, time and memory against their number.

python benchmarks many_objects --davis ROOT --model fast_mb --model deformable_mb

Clips are composed: objects cut out of the sequences of a labelled data set move over a frame of
another one, cross and cover each other, so 1 to 10 are compared on equal terms. Models take
turns on the same clips. Writes a table and a figure, many_objects.svg.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from record import parse_args, percentiles, save, table

from vos_ros.config import RuntimeConfig, SegmenterConfig
from vos_ros.datatypes import Frame, Prompt
from vos_ros.engine.segmenter import VideoSegmenter
from vos_ros.evaluation.metrics import SequenceScorer, summarize
from vos_ros.evaluation.plot import COLOURS, Line, plot
from vos_ros.sequences import open_davis

SIZE = (480, 854)
FRAMES = 30
RATE_HZ = 24.0

Image = np.ndarray[Any, np.dtype[np.uint8]]


class Composer:
    """
    Makes clips of any number of objects.

    :param root: data set in DAVIS layout; the first and a middle frame of each sequence are used.
    """

    def __init__(self, root: str) -> None:
        self._cutouts: list[tuple[Image, Image]] = []
        self._backgrounds: list[Image] = []
        for sequence in open_davis(root, split='all'):
            frames = list(sequence)
            self._backgrounds.append(cv2.resize(frames[0].image, SIZE[::-1]))
            for index in (0, len(frames) // 2):
                label_map = sequence.label_map(index)
                if label_map is None:
                    continue
                for object_id in np.unique(label_map[label_map > 0]):
                    mask = (label_map == object_id).astype(np.uint8)
                    x, y, w, h = cv2.boundingRect(mask)
                    if min(w, h) > 24:
                        part = np.s_[y : y + h, x : x + w]
                        self._cutouts.append((frames[index].image[part], mask[part]))

    def clip(self, objects: int, seed: int) -> tuple[list[Frame], list[Image]]:
        """
        Compose a clip.

        :return: frames (480, 854, 3) at 24 Hz and label maps with ids 1 to `objects`.
        """
        rng = np.random.default_rng([seed, 7])
        background = self._backgrounds[seed % len(self._backgrounds)]
        chosen = rng.permutation(len(self._cutouts))
        layers = []
        for number in range(objects):
            image, mask = self._cutouts[chosen[number % len(chosen)]]
            scale = rng.uniform(110, 170) / max(mask.shape)
            flip = bool(rng.random() < 0.5)
            image, mask = (
                cv2.resize(x[:, ::-1] if flip else x, None, fx=scale, fy=scale)
                for x in (image, mask)
            )
            # places on a grid, so that all are seen at first
            column, row = number % 5, number // 5
            place = np.array([90 + 168 * column, 130 + 220 * row]) + rng.uniform(-15, 15, 2)
            layers.append((image, mask, place, rng.uniform(-9, 9, 2)))
        frames, labels = [], []
        for t in range(FRAMES):
            image = background.copy()
            label_map = np.zeros(SIZE, np.uint8)
            for number, (picture, mask, place, speed) in enumerate(layers, 1):
                h, w = mask.shape
                x, y = (int(v) for v in _bounce(place + t * speed) - (w / 2, h / 2))
                left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, 854), min(y + h, 480)
                into = np.s_[top:bottom, left:right]
                part = np.s_[top - y : bottom - y, left - x : right - x]
                inside = mask[part] > 0
                image[into][inside] = picture[part][inside]
                label_map[into][inside] = number
            frames.append(Frame(image, stamp_ns=round(t * 1e9 / RATE_HZ)))
            labels.append(label_map)
        return frames, labels


def _bounce(place: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Reflect a path at the border of the picture."""
    size = np.array(SIZE[::-1])
    folded = np.mod(place, 2 * size)
    reflected: np.ndarray[Any, Any] = np.where(folded > size, 2 * size - folded, folded)
    return reflected


def follow(
    segmenter: VideoSegmenter, frames: Sequence[Frame], labels: Sequence[Image]
) -> tuple[float, list[float], int]:
    """Return J&F, ms for each frame (memorising included) and bytes of the memory in use."""
    scorer = SequenceScorer()
    times = []
    segmenter.reset()
    for frame, gt in zip(frames, labels):
        prompt = None if times or segmenter.object_ids else Prompt(gt)
        began = perf_counter()
        answer = segmenter.step(frame, prompt)
        if prompt is None:
            times.append((perf_counter() - began) * 1e3)
        scorer.feed(answer.label_map, gt)
    summary = summarize(scorer.conclude().values())
    assert summary is not None
    manifest = segmenter.manifest
    tokens = segmenter.input_size[0] * segmenter.input_size[1] // manifest.stride**2
    objects = len(segmenter.object_ids)
    memory = 4 * 2 * tokens * (manifest.key_dim + objects * manifest.value_dim)
    return summary.jf, times[2:], memory


def figure(rows: dict[str, list[tuple[int, float]]]) -> str:
    """Draw ms against the number of objects, one line for each model."""
    lines = [
        Line(name, colour, points, [f'{ms:.0f}' for _, ms in points])
        for (name, points), colour in zip(rows.items(), COLOURS)
    ]
    return plot(
        lines,
        y_max=1.15 * max(ms for points in rows.values() for _, ms in points),
        y_label='ms per frame, memorising included',
        x_max=max(objects for points in rows.values() for objects, _ in points) + 0.5,
        x_label='objects',
    )


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--davis', required=True, help='data set in DAVIS layout to cut from')
    parser.add_argument('--model', action='append', help='name or folder; may be repeated')
    parser.add_argument('--objects', type=int, nargs='+', default=[1, 3, 5, 10])
    parser.add_argument('--clips', type=int, default=3, help='for each number of objects')
    parser.add_argument('--size', type=int, default=0, help="short side; 0 = the model's own")
    parser.add_argument('--threads', type=int, default=1)
    args = parse_args(parser)

    composer = Composer(args.davis)
    runtime = RuntimeConfig(threads=args.threads)
    config = SegmenterConfig(input_size=args.size, max_objects=max(args.objects))
    segmenters = {
        model: VideoSegmenter.open(model, config=config, runtime=runtime)
        for model in args.model or [RuntimeConfig().model]
    }
    rows, lines = [], {segmenter.manifest.name: [] for segmenter in segmenters.values()}
    raw: dict[str, Any] = {}
    for objects in args.objects:
        found: dict[str, list[tuple[float, list[float], int]]] = {}
        for seed in range(args.clips):
            frames, labels = composer.clip(objects, seed)
            for segmenter in segmenters.values():
                told = follow(segmenter, frames, labels)
                found.setdefault(segmenter.manifest.name, []).append(told)
        for name, results in found.items():
            jf = [one[0] for one in results]
            ms = percentiles([value for one in results for value in one[1]])
            lines[name].append((objects, ms['p50']))
            spread = f'{min(jf):.3f} to {max(jf):.3f}'
            kib = results[0][2] / 1024
            rows.append(
                [objects, name, f'{np.mean(jf):.3f}', spread, f'{ms["p50"]:.1f}',
                 f'{ms["p95"]:.1f}', f'{kib:.0f}']
            )  # fmt: skip
            raw[f'objects={objects}, {name}'] = {'jf': jf, 'ms': ms, 'memory_kib': kib}
            print(*rows[-1], flush=True)
    head = ['objects', 'model', 'J&F', 'over clips', 'p50 ms', 'p95 ms', 'memory KiB']
    size = next(iter(segmenters.values())).input_size
    text = (
        f'{args.clips} composed clips of {FRAMES} frames each, 854x480, network input '
        f'{size[1]}x{size[0]}, {args.threads} thread(s); memory: keys and values of both frames.'
        '\n\n' + table(head, rows) + '\n\n![ms against objects](many_objects.svg)'
    )
    models = ' '.join(f'--model {name}' for name in lines)
    command = f'python benchmarks many_objects --davis ROOT {models}'
    figures = {'many_objects.svg': figure(lines)}
    print(save('many objects', command, text, {'rows': raw}, figures))
    return 0


if __name__ == '__main__':
    sys.exit(main())
