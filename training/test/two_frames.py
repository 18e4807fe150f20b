# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a student of the fast family answers, to tell whether two of them are the same."""

import torch

from vos_distill.networks.student import FastStudent


def logits(student: FastStudent) -> torch.Tensor:
    """Segment a second frame after a first one, three objects."""
    draws = torch.Generator().manual_seed(7)
    images = torch.randn(2, 1, 3, 64, 80, generator=draws)
    masks = torch.rand(1, 3, 16, 20, generator=draws)
    first, second = (student.encode_image(image) for image in images)
    value = student.encode_mask(first, masks, masks.flip(1))
    key = first['key'].flatten(2)
    memory_key = torch.stack([key, key], dim=1)
    memory_value = torch.stack([value, value], dim=2)
    return student.segment(second, memory_key, memory_value)[0]
