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
from vos_distill.datasets import find_clips
from vos_distill.evaluate import InfiniteStepper, load_network
from vos_ros.datatypes import Frame, Prompt
from vos_ros.label_png import read_prompt_png, write_label_png
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

    :param teacher: `student.pt` of any network; it keeps the first and every 5th frame.
    :param short_side: of the network's input, px.
    :return: frames labelled.
    :raises ValueError: no clips, or no mask of a first frame; VosError: an unreadable file.
    """
    network, _ = load_network(teacher)
    stepper = InfiniteStepper(network, short_side, every=5)
    frames = 0
    for clip in find_clips(root):
        images, masks = zip(*clip.pairs, strict=True)
        if not masks[0].is_file():
            raise ValueError(f'{masks[0]} is missing: a clip needs the mask of its first frame')
        folder = out / clip.name
        if folder.exists():
            continue
        partial = out / f'.{clip.name}.partial'  # a run that was killed leaves no half clip
        shutil.rmtree(partial, ignore_errors=True)
        for part in ('images', 'masks', 'confidence'):
            (partial / part).mkdir(parents=True)
        prompt: Prompt | None = Prompt(read_prompt_png(masks[0]))
        stepper.reset()
        for path in images:
            shutil.copy2(path, partial / 'images')
            frame = Frame(read_image(path))
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
