# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Add the graph of a whole frame to an exported model, for one camera and so many objects.

The three graphs stay beside it: prompts and whatever else the one graph does not take go by them.
The manifest is written last, and only once both forms have labelled a closed loop alike.
"""

import json
from pathlib import Path
import shutil
import warnings

import torch

from vos_distill.export.frame_module import WholeFrame
from vos_distill.export.onnx_export import fold_constants, OPSET
from vos_distill.networks.weights import student_from_model
from vos_ros.backends import check_files, load_manifest
from vos_ros.backends.frame_graph import describe, FRAME, FrameLayout
from vos_ros.config import MemoryConfig, RuntimeConfig, SegmenterConfig
from vos_ros.engine.one_graph import OneGraphSegmenter
from vos_ros.engine.preprocess import network_size

STATE = ('prompted_key', 'prompted_value', 'recent_key', 'recent_value')


def export_one_graph(
    model: str | Path,
    out: Path,
    *,
    camera: tuple[int, int],
    objects: int,
    input_size: int = 0,
    prompted_frames: int = MemoryConfig().max_prompted_frames,
    groups: int = 2,
    encoding: str = 'rgb8',
) -> FrameLayout:
    """
    Write a model folder with the three graphs of a model and `frame.onnx`.

    :param model: name or folder of a float model with free shapes.
    :param out: folder to write; must not be the model's own.
    :param camera: (H, W) of its images, px.
    :param objects: slots; what nobody follows costs as much.
    :param input_size: short side of the network's input, px; 0 = the model's own.
    :param prompted_frames: rows for them.
    :param groups: pairs of frames that objects may read at once.
    :param encoding: order of the camera's channels, 'rgb8' or 'bgr8'.
    :raises ValueError: a model that this cannot be made of.
    :raises VosError: labels differ; no manifest is written then.
    """
    manifest = load_manifest(model)
    check_files(manifest)
    if out.resolve() == manifest.folder.resolve():
        raise ValueError(f'{out} is the model itself; write to another folder')
    if manifest.fixed or manifest.objects_per_call or 'quantization' in manifest.content:
        raise ValueError(
            f'{manifest.folder} is quantised, of a fixed shape, or decodes its objects together; '
            'one graph is made of a float model that takes any number of objects'
        )
    size = network_size(camera, input_size or manifest.short_side, manifest.multiple)
    layout = FrameLayout(
        *camera, *size, objects, prompted_frames=prompted_frames, groups=groups, encoding=encoding
    )
    student = student_from_model(manifest.folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'manifest.json').unlink(missing_ok=True)
    for graph in manifest.graphs.values():
        shutil.copyfile(graph.path, out / graph.path.name)

    path = out / 'frame.onnx'
    shapes = layout.state(student.key_dim, student.value_dim)
    given = torch.zeros(sum(torch.Size(shape).numel() for shape in layout.given.values()))
    inputs = (given.to(torch.uint8), *(torch.zeros(shapes[name]) for name in STATE))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            WholeFrame(student, layout).eval(),
            inputs,
            str(path),
            input_names=['given', *STATE],
            output_names=['made', 'prob', 'new_recent_key', 'new_recent_value'],
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    fold_constants(path)
    content = {**manifest.content, 'name': out.resolve().name, FRAME: describe(layout, path)}
    draft = out / 'manifest.json'
    draft.write_text(json.dumps(content, indent=2) + '\n')
    try:
        OneGraphSegmenter.open(
            out,
            config=SegmenterConfig(
                max_objects=objects,
                input_size=input_size,
                memory=MemoryConfig(max_prompted_frames=prompted_frames),
            ),
            runtime=RuntimeConfig(backend='cpu'),
        )
    except Exception:
        draft.unlink()
        raise
    return layout
