# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Recorded drives: made from a sequence, replayed, and scored for accuracy and latency together.

Bags are read and written with `rosbags`, which needs no ROS; only the mode *ros* does.
"""
