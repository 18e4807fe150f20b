# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine: frames and prompts in, label maps out; knows no thread, no file and no ROS."""
