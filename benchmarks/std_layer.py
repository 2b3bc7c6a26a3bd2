"""The STD layer beside what it could have been made of: a full convolution, a kornia loop.

Batches of ten 128 x 128 fields, ten iterations, sigma 1, 3 and 5; milliseconds of a forward pass
and of a forward and backward pass that brings gradients to u and to sigma. All contenders take
turns in one process, and medians count. One thread is timed in CPU time, so that what else the
machine does stays out of the figures; several threads can only be timed by the clock on the wall.

The layer cuts nothing off. Its rivals need a radius, and it sets their price: ceil(4 sigma), as in
scipy, leaves x within 1e-5 of the untruncated one; with ceil(5 sigma) float32 hardly tells the two
apart. Both are measured, and how far each x is from the layer's stands beside them.

    python benchmarks/std_layer.py --repeats 9 --out book/results/std_layer.json
"""

import argparse
import json
import math
import statistics
from functools import partial
from pathlib import Path

import torch
from kornia.filters import gaussian_blur2d
from provenance import provenance, seconds
from torch.nn import functional as F

from nodule_lesson.std import soft_threshold_dynamics

BATCH, SIZE, ITERATIONS, SIGMAS, SEED = 10, 128, 10, (1.0, 3.0, 5.0), 0
LAMBDA1 = LAMBDA2 = EPSILON = 1.0
C = 0.5
OURS, RIVALS, REACHES = ("unrolled", "implicit"), ("full convolution", "kornia loop"), (4, 5)


def loop(u, blur):
    """Eq. (5), derived form, over any function that blurs a field."""
    x = torch.sigmoid(u)
    for _ in range(ITERATIONS):
        x = torch.sigmoid((u - LAMBDA1 * blur(1 - 2 * x) - LAMBDA2 * (1 - C)) / EPSILON)
    return x


def full_convolution(u, sigma, radius):
    """K as one F.conv2d with the whole (2r + 1) x (2r + 1) kernel."""
    offset = torch.arange(-radius, radius + 1, dtype=u.dtype)
    taps = torch.exp(-0.5 * (offset / sigma) ** 2)
    taps = taps / taps.sum()
    kernel = (taps[:, None] * taps)[None, None]
    return loop(u, lambda field: F.conv2d(field, kernel, padding=radius))


def kornia_loop(u, sigma, radius):
    """K as kornia's separable Gaussian filter with zeros outside the image."""
    size = 2 * radius + 1
    sigmas = sigma.expand(1, 2)
    return loop(u, lambda field: gaussian_blur2d(field, (size, size), sigmas, "constant"))


def layer(u, sigma, radius, gradient):
    """The package's own."""
    return soft_threshold_dynamics(
        u, sigma=sigma, lambda1=LAMBDA1, lambda2=LAMBDA2, c=C, epsilon=EPSILON,
        iterations=ITERATIONS, radius=radius, gradient=gradient,
    )  # fmt: skip


FUNCTIONS = {
    "unrolled": partial(layer, gradient="unrolled"),
    "implicit": partial(layer, gradient="implicit"),
    "full convolution": full_convolution,
    "kornia loop": kornia_loop,
}


def contenders(sigma):
    """(name, reach in sigmas) -> function of u and sigma."""
    found = {(name, None): partial(FUNCTIONS[name], radius=None) for name in OURS}
    for reach in REACHES:
        for name in RIVALS:
            found[name, reach] = partial(FUNCTIONS[name], radius=math.ceil(reach * sigma))
    return found


def forward(function, u, sigma):
    """Seconds of one pass without gradients."""
    with torch.no_grad():
        start = seconds()
        function(u, sigma)
        return seconds() - start


def forward_backward(function, u, sigma, weight):
    """Seconds of one pass and its gradients to u and sigma."""
    u, sigma = u.clone().requires_grad_(), sigma.clone().requires_grad_()
    start = seconds()
    function(u, sigma).backward(weight)
    return seconds() - start


def saved_megabytes(function, u, sigma):
    """What the backward pass needs kept, each storage counted once, u itself left out."""
    u, sigma = u.clone().requires_grad_(), sigma.clone().requires_grad_()
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() != u.untyped_storage().data_ptr():
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = function(u, sigma)  # noqa: F841  alive until counted: no storage is reused
    return sum(sizes.values()) / 1e6


def measure(sigma, repeats):
    """One row a contender: medians in ms, memory, and how far x is from the layer's."""
    generator = torch.Generator().manual_seed(SEED)
    u = 2 * torch.randn(BATCH, 1, SIZE, SIZE, generator=generator)
    weight = torch.randn(u.shape, generator=generator)
    functions, sigma = contenders(sigma), torch.tensor(sigma)
    times = {key: {"forward": [], "forward_backward": []} for key in functions}
    order = list(functions)
    for repeat in range(-1, repeats):  # the first round only warms up
        order = order[1:] + order[:1]
        for key in order:
            once = {
                "forward": forward(functions[key], u, sigma),
                "forward_backward": forward_backward(functions[key], u, sigma, weight),
            }
            if repeat >= 0:
                for what, found in once.items():
                    times[key][what].append(1000 * found)
    whole = layer(u, sigma, None, "unrolled")
    rows = []
    for (name, reach), function in functions.items():
        row = {"sigma": sigma.item(), "contender": name, "reach": reach}
        row["radius"] = function.keywords["radius"]
        for what, values in times[name, reach].items():
            row[f"{what}_ms"] = round(statistics.median(values), 3)
        row["saved_megabytes"] = round(saved_megabytes(function, u, sigma), 3)
        row["difference"] = (function(u, sigma) - whole).abs().max().item()
        rows.append(row)
    return rows


def ratios(rows):
    """How many times slower each rival is than each form of the layer."""
    return [
        {
            "sigma": rival["sigma"],
            "ours": ours["contender"],
            "rival": rival["contender"],
            "reach": rival["reach"],
            "forward": round(rival["forward_ms"] / ours["forward_ms"], 2),
            "forward_backward": round(
                rival["forward_backward_ms"] / ours["forward_backward_ms"], 2
            ),
        }
        for rival in rows
        if rival["contender"] in RIVALS
        for ours in rows
        if ours["contender"] in OURS
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds (9)")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, only print")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    rows, comparison = [], []
    for sigma in SIGMAS:
        measured = measure(sigma, options.repeats)
        compared = ratios(measured)
        rows += measured
        comparison += compared
        print(f"sigma {sigma:g}")
        for row in measured:
            print(
                f"  {row['contender']:16} radius {row['radius']!s:4}  "
                f"forward {row['forward_ms']:7.2f} ms  "
                f"and backward {row['forward_backward_ms']:8.2f} ms  "
                f"saved {row['saved_megabytes']:6.2f} MB  off by {row['difference']:.1e}"
            )
        for row in compared:
            print(
                f"  {row['rival']} ({row['reach']} sigma) / {row['ours']}:  "
                f"forward {row['forward']:.1f}  and backward {row['forward_backward']:.1f}",
                flush=True,
            )
    command = f"--threads {options.threads} --repeats {options.repeats}"
    result = {
        "what": "Milliseconds of the STD layer and of two rivals: medians of interleaved rounds.",
        "setting": {
            "batch": BATCH,
            "height": SIZE,
            "width": SIZE,
            "iterations": ITERATIONS,
            "lambda1": LAMBDA1,
            "lambda2": LAMBDA2,
            "c": C,
            "epsilon": EPSILON,
            "dtype": "float32",
            "repeats": options.repeats,
            "seed": SEED,
            "gradients": ["u", "sigma"],
            "radius": "ceil(reach sigma) for the rivals, None (nothing cut off) for the layer",
            "saved_megabytes": "what autograd keeps, u left out; the implicit gradient's hook "
            "keeps one more field",
            "difference": "largest difference of x from the untruncated layer's",
        },
        "provenance": provenance(f"python benchmarks/std_layer.py {command}", ("kornia",)),
        "rows": rows,
        "ratios": comparison,
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
