# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of `vos-distill`, a file for each subject; `cli.py` puts them together."""
