# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Pseudo labels: what a teacher sees when it follows the objects of a clip from their first mask.

With these a student is trained on clips of which people labelled one frame (arXiv 2401.13937),
and without the teacher in memory.
"""

from pathlib import Path
import shutil

import cv2
import numpy as np

from vos_distill.data import VOID
from vos_distill.data.files import read_pair
from vos_distill.data.findings import Findings
from vos_distill.data.layouts import ClipFiles, find_clips, name_no_clips
from vos_distill.evaluation.evaluate import InfiniteStepper
from vos_distill.networks.weights import load_network
from vos_ros.datatypes import Frame, LabelMap, Prompt
from vos_ros.formats.label_png import read_prompt_png, write_label_png
from vos_ros.sequences.folder import read_image

SURE = 0.7  # of a pixel's label, below which it is void


def write_pseudo_labels(
    teacher: Path, root: Path, out: Path, *, short_side: int = 480, sure: float = SURE
) -> int:
    """
    Write `out/CLIP/{images,masks,confidence}`, which a recipe's `videos` takes.

    The layouts of `find_clips` are taken; only the mask of a clip's first frame need be there.
    Masks are indexed PNGs with 255 where the teacher is less than `sure`; confidence is its
    probability of the label, 255 = certain. A clip that is there already is left as it is.

    :param teacher: `student.pt` of any network, or a model folder; it keeps the first and every
        5th frame.
    :param short_side: of the network's input, px.
    :param sure: 0..1.
    :return: frames labelled.
    :raises ValueError: no clips, a first frame without a mask of its size or with an id above 254,
        found before anything is labelled; a later frame of another size. VosError: an unreadable
        file.
    """
    if not 0 <= sure <= 1:
        raise ValueError(f'sure must be a probability from 0 to 1, not {sure}')
    clips = find_clips(root)
    name_no_clips(root, Findings(root, 0))
    for clip in clips:
        _first_mask(clip)
    network, _ = load_network(teacher)
    stepper = InfiniteStepper(network, short_side, every=5)
    frames = 0
    for clip in clips:
        folder = out / clip.name
        if folder.exists():
            continue
        partial = out / f'.{clip.name}.partial'  # a run that was killed leaves no half clip
        shutil.rmtree(partial, ignore_errors=True)
        for part in ('images', 'masks', 'confidence'):
            (partial / part).mkdir(parents=True)
        first = _first_mask(clip)
        prompt: Prompt | None = Prompt(first)
        stepper.reset()
        for path, _ in clip.pairs:
            shutil.copy2(path, partial / 'images')
            frame = Frame(read_image(path))
            if frame.size != first.shape:
                raise ValueError(
                    f'{path}: is {frame.size[1]}x{frame.size[0]} but the first frame of its clip '
                    f'is {first.shape[1]}x{first.shape[0]}'
                )
            answer = stepper.step(frame, prompt)
            label_map, confidence = answer.label_map, np.full(frame.size, 255, np.uint8)
            if prompt is None:
                best = cv2.resize(answer.prob.max(0), frame.size[::-1])
                confidence = np.round(best * 255).astype(np.uint8)
                label_map = np.where(confidence < sure * 255, VOID, label_map).astype(np.uint8)
            write_label_png(partial / 'masks' / f'{path.stem}.png', label_map)
            cv2.imwrite(str(partial / 'confidence' / f'{path.stem}.png'), confidence)
            prompt = None
            frames += 1
        partial.rename(folder)
    return frames


def _first_mask(clip: ClipFiles) -> LabelMap:
    """Read the ids that a clip starts with, (H, W) uint8; refuse those that cannot be written."""
    if not clip.pairs:
        raise ValueError(f'{clip.folder}: there are no images in it')
    image, mask = clip.pairs[0]
    if not mask.is_file():
        raise ValueError(f'{mask} is missing: a clip needs the mask of its first frame')
    read_pair(image, mask)  # the sizes, the range of the ids
    return read_prompt_png(mask).astype(np.uint8)
