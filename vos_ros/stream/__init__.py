# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames as they come: queues, waiting prompts, late masks, overload; threads, but no ROS."""
