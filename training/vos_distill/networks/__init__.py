# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Networks: what they are made of, how they see a clip, where their weights are kept."""
