# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The hash of the masks that `vos bag eval` wrote, by any commit and in any mode.

python benchmarks mask_hash OUT...

OUT is a folder of results with masks/masks.mcap. With --mode offline it is the hash that the
report has. With --mode ros a report has none, as timing decides what is dropped: where all frames
were answered, this is the hash to compare. Each line: hash, masks, folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from vos_ros.bag.observe import LABELS, MASKS
from vos_ros.bag.reader import BagReader
from vos_ros.bag.replay import MaskHash


def main() -> int:
    """Print a line for each folder; nothing is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('out', nargs='+', type=Path, help='folder of `vos bag eval --out`')
    for out in parser.parse_args().out:
        found = MaskHash()
        bag = BagReader(out / MASKS)
        masks = sorted(bag.messages([LABELS]), key=lambda m: m.stamp_ns)  # written as they came
        for mask in masks:
            found.add(mask.stamp_ns, mask.to_labels())
        print(found.hexdigest(), len(masks), out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
