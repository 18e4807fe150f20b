# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes: one run shared by torchrun, and one job after the other."""
