# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one exception of this package that a user can cause."""


class VosError(Exception):
    """
    Wrong use or bad input; ``str(e)`` is one clear line which says what to do.

    Whoever talks to a person (node, command line) shows that line and no
    traceback. Everything else that escapes is a defect of ours.
    """
