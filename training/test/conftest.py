# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One thread: the networks here are so small that a second one only waits and gets in the way."""

try:
    import torch
except ImportError:  # the tests skip themselves, with the reason
    pass
else:
    torch.set_num_threads(1)
