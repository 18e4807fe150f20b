# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mask-prompted video object segmentation with bounded latency and memory, for ROS 2."""

__version__ = '0.2.0'
