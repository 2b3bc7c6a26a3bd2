"""The STD layer compared with other implementations: full convolution, a kornia loop, C.

Batches of ten 128 x 128 fields, ten iterations, sigma 1, 3 and 5; milliseconds of a forward pass,
and of a forward and backward pass with gradients of u and sigma. All contenders take turns in one
process; medians are reported. One thread is timed in CPU time, which other work on the machine
hardly changes; several threads can only be timed in wall time.

The layer truncates nothing. Its rivals need a radius, which decides their time: with
ceil(4 sigma), as in scipy, x is within 1e-5 of the untruncated one; with ceil(5 sigma) the two
hardly differ in float32. Both are measured, with the difference of x from the layer's. The
reference is a loop in C (std_layer.c, built by the system's compiler; without one it is left out).

There are two more tables. `denormal` is the time divided by the time with denormal numbers flushed
to 0, which must be near 1 (Intel processors are slow with denormal numbers). `size` is the time
per pixel at 1024 x 1024 divided by that at 128 x 128, with sigma a number.

    python benchmarks/std_layer.py --repeats 9 --out book/results/std_layer.json
"""

import argparse
import ctypes
import json
import math
import shutil
import statistics
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import torch
from kornia.filters import gaussian_blur2d
from torch.nn import functional as F

from nodule_lesson.provenance import provenance, seconds
from nodule_lesson.std import soft_threshold_dynamics

BATCH, SIZE, ITERATIONS, SIGMAS, SEED = 10, 128, 10, (1.0, 3.0, 5.0), 0
LAMBDA1 = LAMBDA2 = EPSILON = 1.0
C = 0.5
OURS, RIVALS = ("unrolled", "implicit"), ("full convolution", "kornia loop", "C loop")
REACHES = (4, 5)  # radius / sigma
DENORMAL_SIGMAS, LARGE_SIZE = (0.5, 1.0, 2.0, 4.0, 6.0), 1024


def loop(u, blur):
    """Eq. (5), derived form. blur: a function that blurs a field."""
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
    """The package's layer."""
    return soft_threshold_dynamics(
        u, sigma=sigma, lambda1=LAMBDA1, lambda2=LAMBDA2, c=C, epsilon=EPSILON,
        iterations=ITERATIONS, radius=radius, gradient=gradient,
    )  # fmt: skip


@cache
def c_library():
    """std_layer.c, compiled for this processor; None if there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        built, file = Path(folder) / "std_layer.o", Path(folder) / "std_layer.so"
        source = Path(__file__).with_suffix(".c")
        flags = ["-O3", "-march=native", "-ffast-math", "-fPIC", "-c"]
        subprocess.run([compiler, *flags, source, "-o", built], check=True)
        # Linking with -ffast-math would flush the denormal numbers of the whole process.
        subprocess.run([compiler, "-shared", built, "-o", file, "-lm"], check=True)
        library = ctypes.CDLL(file)
    library.backward.restype = ctypes.c_double
    return library


def _pointer(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


class CLoop(torch.autograd.Function):
    """std_layer.c with gradients to u and sigma."""

    @staticmethod
    def forward(ctx, u, sigma, radius):
        offset = torch.arange(radius + 1, dtype=torch.float64)
        weights = torch.exp(-0.5 * (offset / sigma.double()) ** 2)
        slopes = weights * offset**2 / sigma.double() ** 3
        total, slope = (2 * values.sum() - values[0] for values in (weights, slopes))
        ctx.taps = (weights / total).float()
        ctx.slope = (slopes / total - weights * slope / total**2).float()
        n, (height, width) = len(u), u.shape[-2:]
        ctx.sizes = (n, height, width, radius, ITERATIONS)
        states = torch.empty(n, ITERATIONS + 1, height, width)
        buffer = torch.empty(3, height, width)
        numbers = [ctypes.c_float(v) for v in (LAMBDA1, LAMBDA2 * (1 - C), EPSILON)]
        c_library().forward(
            *ctx.sizes, _pointer(ctx.taps), *numbers,
            *(_pointer(t) for t in (u, states, buffer)),
        )  # fmt: skip
        ctx.save_for_backward(states)
        return states[:, -1:].clone()

    @staticmethod
    def backward(ctx, gradient):
        (states,) = ctx.saved_tensors
        gradient = gradient.contiguous()
        u_gradient, buffer = torch.empty_like(gradient), torch.empty(4, *states.shape[-2:])
        sigma_gradient = c_library().backward(
            *ctx.sizes, _pointer(ctx.taps), _pointer(ctx.slope),
            ctypes.c_float(LAMBDA1), ctypes.c_float(EPSILON),
            *(_pointer(t) for t in (states, gradient, u_gradient, buffer)),
        )  # fmt: skip
        return u_gradient, torch.tensor(sigma_gradient), None


def c_loop(u, sigma, radius):
    return CLoop.apply(u, sigma, radius)


FUNCTIONS = {
    "unrolled": partial(layer, gradient="unrolled"),
    "implicit": partial(layer, gradient="implicit"),
    "full convolution": full_convolution,
    "kornia loop": kornia_loop,
    "C loop": c_loop,
}


def contenders(sigma):
    """{(name, reach): function of u and sigma}; the layer without and with a radius."""
    functions = {(name, None): partial(FUNCTIONS[name], radius=None) for name in OURS}
    for reach in REACHES:
        for name in (*RIVALS, *OURS):
            if name == "C loop" and c_library() is None:
                continue
            functions[name, reach] = partial(FUNCTIONS[name], radius=math.ceil(reach * sigma))
    return functions


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
    """What autograd keeps for the backward pass, each storage counted once, without u itself."""
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
    """One row per contender: medians in ms, memory, and the difference of x from the layer's."""
    generator = torch.Generator().manual_seed(SEED)
    u = 2 * torch.randn(BATCH, 1, SIZE, SIZE, generator=generator)
    weight = torch.randn(u.shape, generator=generator)
    functions, sigma = contenders(sigma), torch.tensor(sigma)
    times = {key: {"forward": [], "forward_backward": []} for key in functions}
    order = list(functions)
    for repeat in range(-1, repeats):  # the first round only warms up
        order = order[1:] + order[:1]
        for key in order:
            durations = {
                "forward": forward(functions[key], u, sigma),
                "forward_backward": forward_backward(functions[key], u, sigma, weight),
            }
            if repeat >= 0:
                for passes, duration in durations.items():
                    times[key][passes].append(1000 * duration)
    untruncated = layer(u, sigma, None, "unrolled")
    rows = []
    for (name, reach), function in functions.items():
        row = {"sigma": sigma.item(), "contender": name, "reach": reach}
        row["radius"] = function.keywords["radius"]
        for passes, values in times[name, reach].items():
            row[f"{passes}_ms"] = round(statistics.median(values), 3)
        row["saved_megabytes"] = round(saved_megabytes(function, u, sigma), 3)
        row["difference"] = (function(u, sigma) - untruncated).abs().max().item()
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
        # The loop in C is compared with the layer of the same radius, the others without radius.
        and ours["reach"] == (rival["reach"] if rival["contender"] == "C loop" else None)
    ]


def denormal(repeats):
    """The time of the layer divided by its time with denormal numbers flushed to 0."""
    generator = torch.Generator().manual_seed(SEED)
    u = 2 * torch.randn(BATCH, 1, SIZE, SIZE, generator=generator)
    weight = torch.randn(u.shape, generator=generator)
    rows = []
    for sigma in DENORMAL_SIGMAS:
        for name in OURS:
            function = partial(FUNCTIONS[name], radius=None)
            times = {True: [], False: []}
            for _ in range(repeats):
                for flushed in times:
                    torch.set_flush_denormal(flushed)
                    duration = forward_backward(function, u, torch.tensor(sigma), weight)
                    times[flushed].append(duration)
            torch.set_flush_denormal(False)
            ratio = statistics.median(times[False]) / statistics.median(times[True])
            rows.append({"sigma": sigma, "contender": name, "ratio": round(ratio, 2)})
    return rows


def size(repeats):
    """The time per pixel of one large image divided by that of a batch of the usual size."""
    generator = torch.Generator().manual_seed(SEED)
    fields = {
        side: 2 * torch.randn(count, 1, side, side, generator=generator)
        for side, count in ((SIZE, BATCH), (LARGE_SIZE, 1))
    }
    rows = []
    for sigma in SIGMAS:
        # The radius beyond which all taps are 0, which the layer uses if sigma is a number.
        radius = math.ceil(sigma * math.sqrt(-math.log(torch.finfo(torch.float32).tiny)))
        for name in OURS:
            times = {side: [] for side in fields}
            for _ in range(repeats):
                for side, u in fields.items():
                    function = partial(FUNCTIONS[name], radius=radius)
                    weight = torch.ones_like(u)
                    duration = forward_backward(function, u, torch.tensor(sigma), weight)
                    times[side].append(duration / u.numel())
            ratio = statistics.median(times[LARGE_SIZE]) / statistics.median(times[SIZE])
            rows.append({"sigma": sigma, "contender": name, "ratio": round(ratio, 2)})
    return rows


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
    more_tables = {"denormal": denormal(options.repeats), "size": size(options.repeats)}
    for name, table in more_tables.items():
        for row in table:
            print(name, row)
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
        **more_tables,
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
