# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 node: the only part of this package that imports rclpy and message packages."""
