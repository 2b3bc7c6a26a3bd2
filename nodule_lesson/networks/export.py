"""A network as a file that runs without PyTorch: a script for a web page, or ONNX.

    python -m nodule_lesson.networks.export --out build/networks          # the shipped networks
    python -m nodule_lesson.networks.export slim --out build/networks --onnx

A script holds the graph of a network up to its logits u and the classifier's, as `torch.export`
finds it, and its weights; `nodule_lesson/live/network.js` runs it. So new weights or another
architecture need a new file, and no new code as long as the graph consists of the operations that
`OPERATIONS` names. The layer at the end is not part of the graph: a page computes it step by step.
"""

import argparse
import base64
import copy
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nodule_lesson.files import write_whole
from nodule_lesson.networks.registry import PRETRAINED, load_pretrained, model_card

SIDES = (64, 128)  # of the crops that the shipped networks are for


class _Fields(nn.Module):
    """A network without its last layer: u, and the classifier's logit where there is one."""

    def __init__(self, model):
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        if getattr(self.model, "std", None) is not None:
            self.model.std = None  # then the logits are u

    def forward(self, image):
        output = self.model(image)
        return (output.u,) if output.nodule is None else (output.u, output.nodule_logits)


def as_graph(model):
    """A network as operations and weights: a dictionary for JSON, and bytes.

    "operations" has a list [name, inputs, tensors, settings] each; inputs are numbers of values,
    where 0 is the image and operation i makes value i + 1. "outputs" are the values u and, with a
    classifier, its logit. "tensors" has [type, first byte, count] each; tensors that half
    precision holds exactly are stored in it, all others in single precision. "std" has the
    parameters of the last layer, None for a plain sigmoid.
    Raises ValueError for an operation that network.js does not know.
    """
    example = torch.zeros(1, 1, SIDES[0], SIDES[0])  # the graph holds for other sides as well
    with torch.no_grad():
        program = torch.export.export(_Fields(model), (example,))
    writer = _Writer({**program.state_dict, **program.constants})
    names = program.graph_signature.inputs_to_parameters.items()
    writer.arrays = dict(names) | dict(program.graph_signature.inputs_to_buffers)
    program.graph.eliminate_dead_code()
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name not in writer.arrays:
            writer.values[node] = 0
        elif node.op == "call_function":
            writer.add(node)
        elif node.op == "output":
            outputs = [writer.values[value] for value in node.args[0]]
    graph = {
        "operations": writer.operations,
        "tensors": writer.tensors,
        "outputs": outputs,
        "std": _last_layer(model),
    }
    return graph, b"".join(writer.parts)


def _last_layer(model):
    layer = getattr(model, "std", None)
    if layer is None:
        return None
    learned = {name: getattr(layer, name) for name in ("sigma", "lambda1", "lambda2", "epsilon")}
    numbers = {name: value.item() for name, value in learned.items()}
    return {**numbers, "iterations": layer.iterations, "radius": layer.radius}


class _Writer:
    """Collects operations and tensors while the nodes of a graph pass by in their order."""

    def __init__(self, state):
        self.state = state
        self.arrays = {}  # names of parameters and buffers by that of their placeholder
        self.values = {}  # numbers of values by node
        self.operations, self.tensors, self.parts, self.size = [], [], [], 0

    def array(self, node):
        """The tensor behind a placeholder."""
        return self.state[self.arrays[node.name]].detach()

    def weights(self, weight, bias):
        """Tensors of a convolution: weights, then factor and constant of each channel, if any."""
        array = self.array(weight)
        if bias is None:
            return [array]
        return [array, torch.ones(len(array)), self.array(bias)]

    def tensor(self, array):
        """Store an array; the number under which an operation finds it."""
        numbers = array.float().numpy().ravel()
        half = numbers.astype("<f2")
        exact = np.array_equal(half.astype(np.float32), numbers)
        data = (half if exact else numbers.astype("<f4")).tobytes()
        self.tensors.append(["f2" if exact else "f4", self.size, numbers.size])
        self.parts.append(data + bytes(-len(data) % 4))
        self.size += len(self.parts[-1])
        return len(self.tensors) - 1

    def add(self, node):
        name = node.target.__name__.split(".")[0].removesuffix("_")
        if name.startswith("_assert"):
            return
        if name in TRANSPARENT:
            self.values[node] = self.values[node.args[0]]
            return
        if name not in OPERATIONS:
            raise ValueError(
                f"a page can run {', '.join(OPERATIONS)}; found {name} in the network's graph."
            )
        kind, inputs, arrays, settings = OPERATIONS[name](self, *node.args, **node.kwargs)
        numbers = [self.values[value] for value in inputs]
        if self.operations and self._joined(kind, numbers, inputs, arrays):
            self.values[node] = numbers[0]
            return
        self.operations.append([kind, numbers, list(map(self.tensor, arrays)), settings])
        self.values[node] = len(self.operations)

    def _joined(self, kind, numbers, inputs, arrays):
        """Whether the operation became part of the one before it, whose result it alone reads.

        So a page writes the result of convolution, normalisation and ReLU once.
        """
        before, _, tensors, settings = self.operations[-1]
        if numbers != [len(self.operations)] or len(inputs[0].users) > 1 or "relu" in settings:
            return False
        if kind == "relu" and before in ("conv", "affine", "add"):
            settings["relu"] = True
            return True
        if kind == "affine" and before == "conv" and len(tensors) == 1:
            tensors += map(self.tensor, arrays)
            return True
        return False


# Operations that change nothing in a page, where a value is a list of channels, rows and columns.
TRANSPARENT = ("flatten", "view", "reshape", "contiguous", "to", "dropout")


def _pair(value):
    """One number for both axes; ValueError where they differ."""
    values = {*value} if isinstance(value, list | tuple) else {value}
    if len(values) != 1:
        raise ValueError(f"both axes must be treated alike, found {value}.")
    return values.pop()


def _conv2d(writer, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    outputs, _, *kernel = writer.array(weight).shape
    settings = {"outputs": outputs, "kernel": _pair(kernel), "groups": groups}
    settings |= {"stride": _pair(stride), "padding": _pair(padding), "dilation": _pair(dilation)}
    return "conv", [x], writer.weights(weight, bias), settings


def _batch_norm(writer, x, weight, bias, mean, variance, training, momentum, epsilon, cudnn):
    stored = (writer.array(node).double() for node in (weight, bias, mean, variance))
    weight, bias, mean, variance = stored
    scale = weight / torch.sqrt(variance + epsilon)
    return "affine", [x], [scale, bias - mean * scale], {}


def _linear(writer, x, weight, bias=None):
    settings = {"outputs": len(writer.array(weight)), "kernel": 1, "groups": 1}
    settings |= {"stride": 1, "padding": 0, "dilation": 1}
    return "conv", [x], writer.weights(weight, bias), settings


def _mul(writer, a, b):
    """Two values, or one number per channel and a value."""
    for parameter, value in ((a, b), (b, a)):
        if parameter.name in writer.arrays:
            scale = writer.array(parameter).ravel()
            return "affine", [value], [scale, torch.zeros_like(scale)], {}
    return "multiply", [a, b], [], {}


def _max_pool2d(writer, x, kernel, stride=None, padding=0):
    stride = stride or kernel
    settings = {"kernel": _pair(kernel), "stride": _pair(stride), "padding": _pair(padding)}
    return "max", [x], [], settings


def _mean(writer, x, size):
    if _pair(size) != 1:
        raise ValueError(f"a page can average whole channels alone, found a size of {size}.")
    return "mean", [x], [], {}


def _nearest(writer, x, size, scales):
    return "repeat", [x], [], {"times": int(_pair(scales))}


OPERATIONS = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "relu": lambda writer, x: ("relu", [x], [], {}),
    "sigmoid": lambda writer, x: ("sigmoid", [x], [], {}),
    "add": lambda writer, a, b: ("add", [a, b], [], {}),
    "mul": _mul,
    "cat": lambda writer, values, axis: ("cat", values, [], {}),
    "max_pool2d": _max_pool2d,
    "adaptive_avg_pool2d": _mean,
    "upsample_nearest2d": _nearest,
}


# --- files ---------------------------------------------------------------------------------------


def as_script(name):
    """The text of a script for a page: the shipped network of that name.

    A script tag that loads it has then a property `network`, also in pages that were opened from
    a folder, where browsers refuse to read files in another way.
    """
    graph, weights = as_graph(load_pretrained(name))
    card = model_card(name)
    graph |= {"name": name, "what": card["what"], "sha256": card["sha256"]}
    graph["weights"] = base64.b64encode(weights).decode()
    return f"document.currentScript.network = {json.dumps(graph, separators=(',', ':'))};\n"


class _Named(nn.Module):
    """A network whose outputs are a tuple, as ONNX wants them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        output = self.model(image)
        return output.mask, output.u, output.nodule


def as_onnx(name, side):
    """A shipped network, its last layer included, as the bytes of an ONNX file.

    For one crop of side x side: image (1, 1, side, side) in [0, 1]; mask, u of the same shape, and
    c (1,). Needs the packages onnx and onnxscript (`pip install "nodule-lesson[onnx]"`).
    """
    program = torch.onnx.export(
        _Named(load_pretrained(name)).eval(),
        (torch.zeros(1, 1, side, side),),
        input_names=["image"],
        output_names=["mask", "u", "c"],
        dynamo=True,
    )
    return program.model_proto.SerializeToString()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=PRETRAINED, help="networks (all shipped ones)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the files")
    parser.add_argument("--onnx", action="store_true", help="write ONNX files as well")
    options = parser.parse_args(arguments)
    for name in options.names:
        write_whole(options.out / f"{name}.js", as_script(name).encode("ascii"))
        for side in SIDES if options.onnx else ():
            write_whole(options.out / f"{name}-{side}.onnx", as_onnx(name, side))


if __name__ == "__main__":
    main()
