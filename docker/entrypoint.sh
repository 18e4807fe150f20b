#!/bin/bash
# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
set -e
source "/ws/install/setup.bash"
exec "$@"
