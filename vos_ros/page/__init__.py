# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A page in the browser: look at the camera, paint the first mask, steer the objects."""
