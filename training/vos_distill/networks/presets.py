# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Networks by name: the students that can be exported, and the teachers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from vos_distill.networks.gated import GatedStudent
from vos_distill.networks.student import FastStudent, MobileVosStudent, Student


@dataclass(frozen=True)
class Preset:
    """A student by name; `parameters` is the exact count, asserted by a test."""

    build: Callable[[], Student]
    parameters: int


def _slim(decoder: tuple[int, int, int] = (96, 32, 16), **options: Any) -> FastStudent:
    return FastStudent(
        'mobilenet_v2',
        value_width=96,
        decoder=decoder,
        mask_width=(16, 48),
        stored_width=64,
        fuse_width=48,
        readout_kernel=1,
        **options,
    )


PRESETS: dict[str, Preset] = {
    'resnet18': Preset(
        lambda: MobileVosStudent('resnet18', value_dim=96, decoder=(96, 96, 96)),
        7_990_154,
    ),
    'mobilenet_v2': Preset(lambda: MobileVosStudent('mobilenet_v2', aspp=(6, 12, 18)), 2_452_136),
    'mobilenet_v2_no_aspp': Preset(lambda: MobileVosStudent('mobilenet_v2'), 1_894_312),
    'fast_r18': Preset(lambda: FastStudent('resnet18'), 4_644_810),
    'fast_mb': Preset(
        lambda: FastStudent(
            'mobilenet_v2', value_width=96, decoder=(96, 48, 24), mask_width=(16, 48)
        ),
        1_392_930,
    ),
    # a further object costs half of fast_mb's; starts from fast_mb by `vos-distill narrow`
    'fast_mb_slim': Preset(_slim, 1_104_434),
    # its decoder twice as wide at stride 8 and 4; starts from it by `vos-distill widen`
    'fast_mb_fine': Preset(lambda: _slim((96, 64, 32)), 1_180_210),
    # its value encoder sees the picture at stride 4 as well: the default model
    'fast_mb_edges': Preset(lambda: _slim(sees_edges=True), 1_107_906),
    # what else could be left out of it, to compare (training/results)
    'fast_mb_slim_separable': Preset(lambda: _slim(separable=True), 1_084_914),
    'fast_mb_slim_stride8': Preset(lambda: _slim(finest=8), 1_099_314),
    'fast_mb_slim_pooled': Preset(lambda: _slim(pooled='prompted'), 1_104_434),
    'deformable_mb': Preset(lambda: GatedStudent('mobilenet_v2'), 1_212_292),
    # the same with plain attention on every cell, to compare
    'gated_mb': Preset(lambda: GatedStudent('mobilenet_v2', deformable=False), 1_208_452),
    'deformable_tiny': Preset(
        lambda: GatedStudent(
            'plain', 24, key_dim=16, value_width=24, decoder=(16, 12, 8), self_propagation=False
        ),
        37_456,
    ),
    'tiny': Preset(
        lambda: FastStudent('plain', 16, value_width=24, decoder=(16, 12, 8), mask_width=(8, 8)),
        52_470,
    ),
}


TEACHERS: dict[str, tuple[Callable[[], Student], int]] = {
    # the published 54.4 M
    'stcn': (
        lambda: MobileVosStudent(
            'resnet50',
            value_dim=512,
            decoder=(512, 256, 256),
            value_backbone='resnet18',
        ),
        54_431_940,
    ),
    # what two CPU cores or some GPU minutes can train
    'stcn_r18': (
        lambda: MobileVosStudent('resnet18', value_dim=256, decoder=(256, 128, 128)),
        14_800_948,
    ),
    # three gated propagation modules with plain attention, for the deformable students
    'gated_r18': (
        lambda: GatedStudent(
            'resnet18', 128, value_width=128, decoder=(128, 64, 48), layers=3, deformable=False
        ),
        4_902_262,
    ),
}


def build_teacher(name: str) -> Student:
    """
    Build a teacher with random weights.

    :raises ValueError: unknown name; the message lists the known ones.
    """
    if name not in TEACHERS:
        raise ValueError(f"unknown teacher '{name}': choose from {', '.join(TEACHERS)}")
    return TEACHERS[name][0]()


def build_network(preset: str) -> Student:
    """Build a student or a teacher by name."""
    return build_teacher(preset) if preset in TEACHERS else build_student(preset)


def build_student(preset: str, **overrides: Any) -> Student:
    """
    Build a student with random weights.

    :param preset: a key of `PRESETS`.
    :raises ValueError: unknown preset; the message lists the known ones.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset '{preset}': choose from {', '.join(PRESETS)}")
    return PRESETS[preset].build(**overrides)


def count_parameters(module: nn.Module) -> int:
    """Count weights and biases; running statistics of BatchNorm are not parameters."""
    return sum(p.numel() for p in module.parameters())
