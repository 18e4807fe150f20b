# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How good and how fast: scores, baselines, reports, and the pages that show them."""
