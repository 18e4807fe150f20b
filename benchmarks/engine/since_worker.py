# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The segmenter of one checkout, as a process; what `since.py` runs twice.

Started as `since_worker.py CHECKOUT MODEL CLIP THREADS`. Each line of its input is a number of
frames to step; the answer is one line of JSON: ms of each of them, memorising included, and the
share of the picture that was found.
"""

import json
import sys
from time import perf_counter


def main() -> int:
    """Answer until the input ends."""
    checkout, model, clip, threads = sys.argv[1:]
    sys.path.insert(0, checkout)  # before an installed vos_ros

    import numpy as np

    from vos_ros.config import RuntimeConfig
    from vos_ros.datatypes import Frame, Prompt

    try:
        from vos_ros.engine.segmenter import VideoSegmenter
    except ImportError:  # its place until 2026-11-28
        from vos_ros.segmenter import VideoSegmenter  # type: ignore[import-not-found,no-redef]

    with np.load(clip) as arrays:
        images, stamps, labels = arrays['images'], arrays['stamps'], arrays['labels']
    runtime = RuntimeConfig(backend='cpu', threads=int(threads))
    segmenter = VideoSegmenter.open(model, runtime=runtime)
    at = 0
    for line in sys.stdin:
        times, found = [], []
        for _ in range(int(line)):
            prompt = None if at else Prompt(labels)
            frame = Frame(images[at], stamp_ns=int(stamps[at]))
            began = perf_counter()
            result = segmenter.step(frame, prompt)
            times.append((perf_counter() - began) * 1e3)
            found.append(float((result.label_map > 0).mean()))
            at += 1
        print(json.dumps({'ms': times, 'found': found}), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
