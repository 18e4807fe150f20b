# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Export a student to the three ONNX graphs and the manifest that `vos_ros` runs.

The order is: export, prove that onnxruntime gives what torch gives over a closed loop, and
only then write the manifest. A directory with a manifest is therefore a verified model.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
from typing import Any
import warnings

import numpy as np
import torch
from torch import nn, Tensor

from vos_distill.networks.aggregation import others_of, soft_aggregate
from vos_distill.networks.presets import count_parameters
from vos_distill.networks.student import Features, Student
from vos_ros.backends.base import GRAPHS, token_places

# The newest that TensorRT 8.6 takes (its parser: up to 17; that of 10.0: 9 to 20), so that one
# file serves both. A test holds the operators in use against the list of 8.6.
OPSET = 17
_AXES: dict[str, dict[int, str]] = {
    'image': {2: 'height', 3: 'width'},
    'key': {2: 'h16', 3: 'w16'},
    'memory_key': {2: 'tokens'},
    'memory_value': {0: 'objects', 3: 'tokens'},
    'place': {1: 'h16', 2: 'w16'},
    'memory_place': {1: 'tokens'},
    'masks': {0: 'objects', 1: 'h4', 2: 'w4'},
    'others': {0: 'objects', 1: 'h4', 2: 'w4'},
    'logits': {0: 'objects', 1: 'h4', 2: 'w4'},
    'value': {0: 'objects', 2: 'tokens'},
}


@dataclass(frozen=True)
class FixedShape:
    """
    The only input that a model takes, for engines without dynamic shapes.

    :param height: of the network input, px, a multiple of 16.
    :param width: likewise.
    :param objects: in every call.
    :raises ValueError: not such sizes.
    """

    height: int
    width: int
    objects: int = 1

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 16 or self.height % 16 or self.width % 16:
            raise ValueError(
                f'a fixed size must be multiples of 16, not {self.width}x{self.height}: take '
                f'{max(1, round(self.width / 16)) * 16}x{max(1, round(self.height / 16)) * 16}'
            )
        if self.objects < 1:
            raise ValueError(f'a fixed number of objects must be at least 1, not {self.objects}')


_FREE = FixedShape(96, 160, 2)  # what the graphs are traced with when shapes stay free
_DEMO = FixedShape(128, 192, 2)


class _EncodeImage(nn.Module):
    def __init__(self, student: Student, names: Sequence[str]) -> None:
        super().__init__()
        self.student, self.names = student, names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features = self.student.encode_image(image)
        return tuple(features[n] for n in self.names)


class _Segment(nn.Module):
    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, *inputs: Tensor) -> Tensor:
        names = ('key', *self.student.segment_features)
        features = dict(zip(names, inputs[: len(names)], strict=True))
        memory_key, memory_value, *places = inputs[len(names) :]
        memory = memory_key[None], memory_value[None]
        if not places:
            return self.student.segment(features, *memory)[0][0]
        here, there = places
        segment: Any = self.student.segment  # takes places, see `Student.takes_places`
        logits: Tensor = segment(features, *memory, (here.flatten(1), there))[0][0]
        return logits


class _EncodeMask(nn.Module):
    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, *inputs: Tensor) -> Tensor:
        names = self.student.mask_features
        features = dict(zip(names, inputs[: len(names)], strict=True))
        masks, others = inputs[len(names) :]
        return self.student.encode_mask(features, masks[None], others[None])[0]


def _axes_of(name: str, tensor: Tensor, height: int) -> dict[int, str]:
    """Name the free dimensions of a tensor; a private feature is known by its stride."""
    if name in _AXES:
        return _AXES[name]
    stride = height // tensor.shape[2]
    return {2: f'h{stride}', 3: f'w{stride}'}


def store_fp16(path: Path) -> None:
    """Keep large weights as float16 in the file, with a Cast that is folded at load."""
    import onnx
    from onnx import helper, numpy_helper, TensorProto

    model = onnx.load(str(path))
    casts = []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < 256:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f'{name}_fp16'))
        casts.append(helper.make_node('Cast', [f'{name}_fp16'], [name], to=TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def fold_constants(path: Path) -> None:
    """Compute ahead what no input changes: with fixed shapes all arithmetic on shapes goes."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    # basic: standard operators only; what comes above is for onnxruntime alone
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folded = path.with_suffix('.folded')
    options.optimized_model_filepath = str(folded)
    ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    folded.replace(path)


def export_graphs(
    student: Student, out: Path, *, fp16_weights: bool = True, fixed: FixedShape | None = None
) -> None:
    """
    Write `encode_image.onnx`, `segment.onnx` and `encode_mask.onnx`.

    :param student: on the CPU, in eval mode. With `fp16_weights` its weights are rounded to
        float16 in place, so that what is compared later is what was written.
    :param fixed: the one shape to take, weights stored as float32 then; None = sizes and the
        number of objects stay free.
    """
    out.mkdir(parents=True, exist_ok=True)
    if fp16_weights:
        for parameter in student.parameters():
            if parameter.numel() >= 256:
                parameter.data.copy_(parameter.data.half().float())
    shape = fixed or _FREE
    h, w, k = shape.height, shape.width, shape.objects
    image = torch.randn(1, 3, h, w)
    masks = torch.rand(k, h // 4, w // 4)
    with torch.no_grad():
        features = student.encode_image(image)
        value = student.encode_mask(features, masks[None], masks[None])[0]
    image_outputs = [n for n in features if n != 'image']
    tokens = features['key'].flatten(2)
    memory_key = torch.cat([tokens, tokens])
    memory_value = torch.stack([value, value], dim=1)
    places = {}
    if student.takes_places:
        grid = torch.tensor(token_places(h // 16, w // 16))
        places = {'place': grid, 'memory_place': grid.flatten(1)}
    jobs: dict[str, tuple[nn.Module, dict[str, Tensor], dict[str, Tensor]]] = {
        'encode_image': (
            _EncodeImage(student, image_outputs),
            {'image': image},
            {n: features[n] for n in image_outputs},
        ),
        'segment': (
            _Segment(student),
            {
                'key': features['key'],
                **{n: features[n] for n in student.segment_features},
                'memory_key': memory_key,
                'memory_value': memory_value,
                **places,
            },
            {'logits': masks},
        ),
        'encode_mask': (
            _EncodeMask(student),
            {
                **{n: features[n] for n in student.mask_features},
                'masks': masks,
                'others': masks.flip(0),
            },
            {'value': value},
        ),
    }
    for name, (module, inputs, outputs) in jobs.items():
        path = out / f'{name}.onnx'
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={}
                if fixed
                else {n: _axes_of(n, t, h) for n, t in {**inputs, **outputs}.items()},
                opset_version=OPSET,
                # onnxruntime folds at load; here every weight keeps its name, so that
                # `student_from_model` can read it back
                do_constant_folding=False,
                dynamo=False,
            )
        if fixed:
            fold_constants(path)
        elif fp16_weights:
            store_fp16(path)


class OnnxStudent:
    """The three graphs in onnxruntime, with the plainest settings; for comparison only."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime as ort

        self.sessions = {
            name: ort.InferenceSession(
                str(folder / f'{name}.onnx'), providers=['CPUExecutionProvider']
            )
            for name in GRAPHS
        }

    def run(self, graph: str, feeds: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        """Run one graph; it takes from `feeds` what it names."""
        session = self.sessions[graph]
        if 'key' in feeds:
            grid = token_places(*feeds['key'].shape[2:])
            feeds = {**feeds, 'place': grid, 'memory_place': grid.reshape(2, -1)}
        wanted = {i.name: feeds[i.name] for i in session.get_inputs()}
        names = [o.name for o in session.get_outputs()]
        return dict(zip(names, session.run(names, wanted), strict=True))


@dataclass(frozen=True)
class Parity:
    """
    How far onnxruntime is from torch over a closed loop.

    :param max_prob_difference: largest difference of a probability in any frame.
    :param label_differences: pixels (stride 4) whose label differs, over all frames.
    :param beyond_ties: those of them where torch's two best differ by more than 1e-4; an
        untrained network has whole areas of ties, which rounding decides.
    """

    frames: int
    max_prob_difference: float
    label_differences: int
    beyond_ties: int

    @property
    def holds(self) -> bool:
        return self.beyond_ties == 0 and self.max_prob_difference < 1e-3


@torch.no_grad()
def compare(student: Student, folder: Path, images: Tensor, first_masks: Tensor) -> Parity:
    """
    Roll torch and onnxruntime out side by side, each on its own masks.

    :param images: (T, 3, H, W) normalised.
    :param first_masks: (K, H, W) in [0, 1].
    :raises ValueError: one of both gives numbers that are not finite.
    """
    onnx_student = OnnxStudent(folder)
    masks = torch.nn.functional.avg_pool2d(first_masks[None], 4)
    k = masks.shape[1]
    worst, differing, beyond = 0.0, 0, 0
    features: Features = student.encode_image(images[:1])
    value = student.encode_mask(features, masks, others_of(masks))
    key = features['key'].flatten(2)
    memory_key, memory_value = torch.stack([key, key], 1), torch.stack([value, value], 2)
    feeds: dict[str, Any] = {'image': images[:1].numpy()}
    feeds.update(onnx_student.run('encode_image', feeds))
    feeds.update(masks=masks[0].numpy(), others=others_of(masks)[0].numpy())
    first = onnx_student.run('encode_mask', feeds)['value']
    o_key = np.repeat(feeds['key'].reshape(1, student.key_dim, -1), 2, axis=0)
    o_value = np.stack([first, first], axis=1)
    for image in images[1:]:
        features = student.encode_image(image[None])
        prob = soft_aggregate(student.segment(features, memory_key, memory_value)[0])
        memory_key[:, 1] = features['key'].flatten(2)
        memory_value[:, :, 1] = student.encode_mask(features, prob[:, 1:], others_of(prob[:, 1:]))
        feeds = {'image': image[None].numpy(), 'memory_key': o_key, 'memory_value': o_value}
        feeds.update(onnx_student.run('encode_image', feeds))
        logits = torch.from_numpy(onnx_student.run('segment', feeds)['logits'])
        o_prob = soft_aggregate(logits[None])
        for side, one in (('torch', prob), ('onnxruntime', o_prob)):
            if not bool(one.isfinite().all()):
                raise ValueError(
                    f'{folder}: in {side} the network gives numbers that are not finite; look for '
                    'NaN in its weights, and take a checkpoint from before they appeared'
                )
        feeds.update(masks=o_prob[0, 1:].numpy(), others=others_of(o_prob[:, 1:])[0].numpy())
        o_key[1] = feeds['key'].reshape(student.key_dim, -1)
        o_value[:, 1] = onnx_student.run('encode_mask', feeds)['value']
        worst = max(worst, float((prob - o_prob).abs().max()))
        different = prob.argmax(1) != o_prob.argmax(1)
        best = prob.topk(2, dim=1).values
        differing += int(different.sum())
        beyond += int((different & (best[:, 0] - best[:, 1] > 1e-4)).sum())
    assert o_value.shape == (k, 2, student.value_dim, key.shape[-1])
    return Parity(len(images) - 1, worst, differing, beyond)


def _demo_clip(student: Student, shape: FixedShape, frames: int = 8) -> tuple[Tensor, Tensor]:
    """Make a smooth moving picture with a disc per object, to compare on; not for accuracy."""
    h, w, objects = shape.height, shape.width, shape.objects
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.uniform(0, 255, (1, 3, 12, 18)).astype(np.float32))
    canvas = torch.nn.functional.interpolate(noise, (h + 32, w + 32), mode='bicubic')[0]
    colours = torch.from_numpy(rng.uniform(0, 255, (objects, 3)).astype(np.float32))
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
    images, first = [], torch.zeros(objects, h, w)
    for t in range(frames):
        image = canvas[:, t : t + h, 2 * t : 2 * t + w].clone().clamp(0, 255)
        for k in range(objects):
            cx, cy = w * (k + 0.5) / objects + 3 * t, h / 2 + 2 * t * (-1) ** k
            disc = (x - cx) ** 2 + (y - cy) ** 2 < (min(h, w / objects) / 6) ** 2
            image[:, disc] = colours[k, :, None]
            if t == 0:
                first[k] = disc.float()
        images.append(student.normalise(image))
    return torch.stack(images), first


def export_model(
    student: Student,
    out: Path,
    *,
    name: str,
    preset: str,
    short_side: int,
    card: dict[str, Any],
    fp16_weights: bool = True,
    fixed: FixedShape | None = None,
) -> Parity:
    """
    Export, verify, and write the manifest.

    :param short_side: the shorter side of the network's input that the scores belong to, px;
        that of `fixed` where there is one.
    :param card: `data`, `recipe`, `scores`, `license` and whatever else the manifest tells.
    :raises RuntimeError: onnxruntime and torch differ; no manifest is written then.
    :raises ValueError: they give numbers that are not finite; likewise.
    """
    student = student.cpu().eval()
    (out / 'manifest.json').unlink(missing_ok=True)
    export_graphs(student, out, fp16_weights=fp16_weights, fixed=fixed)
    parity = compare(student, out, *_demo_clip(student, fixed or _DEMO))
    if not parity.holds:
        raise RuntimeError(f'{out}: the exported graphs differ from torch: {parity}')
    manifest = {
        **card,  # first, so that what the export knows better counts
        'format': 1,
        'name': name,
        'preset': preset,
        'parameters': count_parameters(student),
        'stride': 16,
        'mask_stride': 4,
        'key_dim': student.key_dim,
        'value_dim': student.value_dim,
        'input': {
            'short_side': min(fixed.height, fixed.width) if fixed else short_side,
            'multiple': 16,
            'color': 'rgb',
            'mean': list(student.mean),
            'std': list(student.std),
        },
        'graphs': {
            graph: {
                'file': f'{graph}.onnx',
                'sha256': hashlib.sha256((out / f'{graph}.onnx').read_bytes()).hexdigest(),
            }
            for graph in GRAPHS
        },
        'opset': OPSET,
        'weights_dtype': 'float16' if fp16_weights and not fixed else 'float32',
        'parity': {
            'frames': parity.frames,
            'max_prob_difference': parity.max_prob_difference,
            'label_differences': parity.label_differences,
        },
        **({'objects_per_call': student.max_objects} if student.max_objects else {}),
        **({'fixed': asdict(fixed)} if fixed else {}),
    }
    (out / 'manifest.json').write_text(json.dumps(manifest, indent=2) + '\n')
    return parity
