# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What bytes mean: PNG files of ids, images as cameras send them, boxes."""
