# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop, what it writes down, and what it measures meanwhile."""
