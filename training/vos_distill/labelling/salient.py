# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A segmenter of salient objects: which pixels of a picture are the thing that it shows.

Any ONNX network of IS-Net's form will do (Qin et al., DIS, ECCV 2022): one input (1, 3, S, S) RGB,
one output (1, 1, S, S) in 0..1. It knows no classes and takes no prompt.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
import onnxruntime

from vos_distill.data.files import Image

Map = npt.NDArray[np.float32]


class Salient(Protocol):
    """What the labelling process asks of a segmenter."""

    def __call__(self, image: Image) -> Map:
        """
        Say which pixels belong to the salient thing.

        :param image: (H, W, 3) RGB uint8.
        :return: (H, W) float32 in 0..1.
        """


class OnnxSalient:
    """
    A network in an ONNX file.

    :param path: of the file.
    :param side: of the input, px; 0 = as the network was exported. A smaller one is a third of the
        time at half the side, and draws coarser outlines.
    :param threads: of onnxruntime; 0 = as many as there are processors.
    :raises ValueError: no such file, no ONNX, or not of the form above.
    """

    def __init__(self, path: Path, side: int = 0, threads: int = 0) -> None:
        try:
            model = onnx.load(path)
        except Exception as error:  # protobuf, onnx and the file system all raise their own
            raise ValueError(f'{path}: cannot be read as an ONNX network ({error})') from error
        exported = _input_side(model, path)
        if side and side != exported:
            resize_network(model, exported, side)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=['CPUExecutionProvider']
            )
        except Exception as error:  # onnxruntime's errors have no common ancestor
            raise ValueError(f'{path}: onnxruntime does not take it ({error})') from error
        self.side = side or exported
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def __call__(self, image: Image) -> Map:
        """See `Salient`; the picture is stretched to the square that the network takes."""
        square = cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        blob = ((square.astype(np.float32) - 128.0) / 256.0).transpose(2, 0, 1)[None]
        out = self._session.run([self._output], {self._input: np.ascontiguousarray(blob)})[0]
        found = cv2.resize(
            np.asarray(out, np.float32).reshape(self.side, self.side),
            (image.shape[1], image.shape[0]),
            interpolation=cv2.INTER_LINEAR,
        )
        return np.clip(found, 0.0, 1.0).astype(np.float32)


def _input_side(model: onnx.ModelProto, path: Path) -> int:
    inputs = [one for one in model.graph.input if one.name not in _names(model)]
    shapes = [[d.dim_value for d in one.type.tensor_type.shape.dim] for one in inputs]
    ok = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] == 3
    if not ok or shapes[0][2] != shapes[0][3] or not shapes[0][2]:
        raise ValueError(
            f'{path}: takes {shapes}, but one input (1, 3, S, S) is needed: a network of '
            "IS-Net's form, exported with a fixed square input"
        )
    return int(shapes[0][2])


def _names(model: onnx.ModelProto) -> set[str]:
    return {one.name for one in model.graph.initializer}


def resize_network(model: onnx.ModelProto, exported: int, side: int) -> None:
    """
    Let a network take another input, in place: its baked sizes of Resize follow.

    :param exported: side that it was exported for, px.
    :param side: wanted; both must be multiples of 32 of which the baked sizes are shares.
    :raises ValueError: a size that does not come out whole.
    """
    if side < 32 or side % 32:
        raise ValueError(f'the side of the segmenter must be a multiple of 32, not {side}')
    wanted = {name for node in model.graph.node if node.op_type == 'Resize' for name in node.input}
    baked = {
        name
        for node in model.graph.node
        if node.op_type == 'Concat' and wanted & set(node.output)
        for name in node.input
    } | wanted
    for node in model.graph.node:
        if node.op_type == 'Constant' and set(node.output) & baked:
            for attribute in node.attribute:
                if attribute.name == 'value':
                    sizes = numpy_helper.to_array(attribute.t)
                    attribute.t.CopyFrom(_scaled(sizes, exported, side))
    for tensor in model.graph.initializer:
        if tensor.name in baked and tensor.data_type == onnx.TensorProto.INT64:
            name = tensor.name
            tensor.CopyFrom(_scaled(numpy_helper.to_array(tensor), exported, side))
            tensor.name = name
    for value in (*model.graph.input, *model.graph.output):
        for d in value.type.tensor_type.shape.dim[2:]:
            d.dim_value = side
    del model.graph.value_info[:]


def _scaled(
    sizes: npt.NDArray[np.int64] | Sequence[int], exported: int, side: int
) -> onnx.TensorProto:
    old = np.asarray(sizes, np.int64)
    new = np.where(old > 1, old * side // exported, old)  # a 1 is a batch, not a size
    if (
        np.where(old > 1, new * exported, old * exported)
        != old * np.where(old > 1, side, exported)
    ).any():
        raise ValueError(f'the segmenter has inner sizes {old.tolist()} that do not fit {side} px')
    return numpy_helper.from_array(new.astype(np.int64))
