# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Offline training of finite-memory students for vos_ros: data, losses, rollout, export."""

__version__ = '0.2.0'
