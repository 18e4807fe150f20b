# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Node, player and recorder as processes, what they play, and the score of what came back."""
