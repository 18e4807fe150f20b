# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Labels for raw video, by a process of two networks that are good at different things.

A tracker follows the objects (`follow`), a segmenter of salient objects looks at a crop around
each of them (`salient`), and where the two agree their mean is the label and what the tracker
remembers (`process`). It is done in both directions of time; where these agree, the label is sure
(`agreement`). `run` reads videos and writes a data set, `page` shows it.
"""
