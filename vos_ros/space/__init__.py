# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Masks and depth to objects in space: geometry with numpy, no ROS and no thread."""
