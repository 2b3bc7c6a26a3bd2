"""Checkpoints: all that a training needs to resume, in one file, written whole or not at all.

The file is in the format safetensors: tensors, and beside them a text in JSON. Reading it runs no
code, as reading a pickle may. It holds the state of every part that has one (network with its
running averages, optimiser with its moments, schedule, place in the data), the states of the
random generators of torch, of its GPU and of NumPy, the losses so far, and the configuration that
all this belongs to.
"""

import glob
import hashlib
import json
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised

from nodule_lesson.files import difference, make_folder, plain_number, write_whole

# JSON would give these back as a list or a dictionary, so the name of the type is written beside
# them. MultiStepLR, for example, needs its Counter to be a Counter.
TYPES = {kind.__name__: kind for kind in (tuple, OrderedDict, Counter)}


class Checkpoint:
    """The file that `fit` saves every `every` steps and resumes from.

    path: of the file; its folder is made. configuration: a dictionary for JSON that says what is
    trained on which data; a file with another configuration is refused. every: in steps. Raises
    ValueError for an every below 1, TypeError for a configuration that JSON cannot hold.
    """

    def __init__(self, path, configuration=None, every=100):
        if every < 1:
            raise ValueError(f"every must be at least 1, found {every!r}.")
        self.path, self.every = Path(path), every
        self.configuration = json.loads(json.dumps(configuration or {}, default=plain_number))

    def save(self, parts, losses, fit=None):
        """Write the file.

        parts: name -> an object with state_dict. losses: of the steps so far, a list of numbers.
        fit: what `fit` adds to the configuration. Raises TypeError for a state that the file
        cannot hold.
        """
        write_whole(self.path, self._as_bytes(parts, losses, fit))

    def rehearse(self, parts, fit=None):
        """Do all that `save` does, but keep no file, so that errors come before the training.

        Raises TypeError for a state that the file cannot hold, OSError for a folder in which no
        file can be written.
        """
        self._as_bytes(parts, [], fit)
        make_folder(self.path.parent)

    def load(self, parts, fit=None):
        """Restore all states and return the losses so far; [] where there is no file.

        Raises ValueError for a file that is damaged, that has another configuration or other
        parts, or a state that a part refuses. Then all parts are as they were.
        """
        if not self.path.exists():
            return []
        state, tensors = self._read()
        wanted = json.loads(json.dumps({**self.configuration, "fit": fit}, default=plain_number))
        if where := difference(state["configuration"], wanted):
            raise ValueError(
                f"{self.path.name} is a checkpoint of another configuration ({where}): move it "
                "away, or name another file."
            )
        if unshared := set(parts) ^ set(state["parts"]):
            raise ValueError(f"{self.path.name} and this training differ in {sorted(unshared)}.")
        states = {name: _unpacked(state["parts"][name], tensors) for name in parts}
        self._restore(parts, states)
        _set_random_states(_unpacked(state["random"], tensors))
        return state["losses"]

    def _restore(self, parts, states):
        """Load each part's state: all of them, or none."""
        tensors = {}
        before = {name: _packed(part.state_dict(), tensors) for name, part in parts.items()}
        changed = []
        try:
            for name, part in parts.items():
                changed.append(name)
                if isinstance(part, torch.nn.Module):
                    _check_types(states[name], part.state_dict())
                part.load_state_dict(states[name])
                if isinstance(part, torch.optim.Optimizer):
                    _check_moments(part)
        except Exception as error:
            own = {key: _unpacked(before[key], tensors) for key in changed}
            for key in changed:  # the part that failed comes last
                parts[key].load_state_dict(own[key])
            reason = ""
            if isinstance(parts[name], torch.nn.Module):
                reason = _network_difference(states[name], own[name])
            reason = reason or " ".join(str(error).split())
            raise ValueError(
                f"{self.path.name} does not fit, and nothing of it was taken; {name}: {reason}"
            ) from error

    def remove(self):
        """Delete the file; for when the result of the training is safe elsewhere."""
        self.path.unlink(missing_ok=True)
        for partial in self.path.parent.glob(f"{glob.escape(self.path.name)}.*.part"):
            partial.unlink(missing_ok=True)  # left by a process that was killed while writing

    def _as_bytes(self, parts, losses, fit):
        tensors = {}
        state = {
            "configuration": {**self.configuration, "fit": fit},
            "losses": losses,
            "parts": {
                name: _packed(part.state_dict(), tensors, name) for name, part in parts.items()
            },
            "random": _packed(_random_states(), tensors),
        }
        text = json.dumps(state, default=plain_number)
        return serialised(tensors, {"state": text, "sha256": _digest(text, tensors)})

    def _read(self):
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if metadata["sha256"] != _digest(metadata["state"], tensors):
                raise ValueError("its checksum is another one")
            return json.loads(metadata["state"]), tensors
        except PermissionError:
            raise
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path.name} is damaged, or no checkpoint ({error}): delete it and begin "
                "anew."
            ) from None


def _packed(value, tensors, place=""):
    """The value as JSON can hold it; its tensors are added to `tensors`.

    place: the value's name, for an error. A dictionary becomes pairs, since keys in JSON are
    texts. Raises TypeError for a value that would come back as something else.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        return {"tensor": _added(value, tensors, place)}
    if kind is np.ndarray or isinstance(value, np.generic):
        try:
            tensor = torch.from_numpy(np.asarray(value).copy())
        except (TypeError, ValueError) as error:
            raise TypeError(f"a checkpoint cannot hold {place}: {error}") from None
        scalar = kind is not np.ndarray
        return {"numpy": _added(tensor, tensors, place), "scalar": scalar}
    if kind in (list, tuple):
        items = [_packed(item, tensors, f"{place}[{k}]") for k, item in enumerate(value)]
        return items if kind is list else {"items": items, "type": kind.__name__}
    if kind in (dict, OrderedDict, Counter):
        pairs = [
            [_packed(key, tensors, f"a key of {place}"), _packed(item, tensors, f"{place}.{key}")]
            for key, item in value.items()
        ]
        if kind is dict:
            return {"pairs": pairs}
        # A network's state keeps the versions of its layers in an attribute.
        return {
            "pairs": pairs,
            "type": kind.__name__,
            "with": _packed(vars(value), tensors, place),
        }
    raise TypeError(
        "a checkpoint holds tensors, numbers, text, and lists, tuples and dictionaries of these; "
        f"{place} is of the type {kind.__name__}."
    )


def _added(tensor, tensors, place):
    """Add a copy of a tensor to `tensors`, and return its name there."""
    if not _is_storable(tensor):
        raise TypeError(
            f"a checkpoint holds dense tensors of the types that safetensors knows; {place} is "
            f"{tensor.dtype}, {tensor.layout}, on {tensor.device.type}."
        )
    name = str(len(tensors))
    tensors[name] = tensor.detach().cpu().contiguous().clone()
    return name


def _is_storable(tensor):
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        return False
    try:
        serialised({"": torch.empty(0, dtype=tensor.dtype)})
    except (KeyError, SafetensorError):  # safetensors has no name for this type of number
        return False
    return True


def _unpacked(value, tensors):
    """The value that `_packed` was given."""
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "numpy" in value:
        array = tensors[value["numpy"]].numpy()
        return array[()] if value["scalar"] else array
    if "items" in value:
        return TYPES[value["type"]](_unpacked(value["items"], tensors))
    items = {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in value["pairs"]}
    if "type" not in value:
        return items
    restored = TYPES[value["type"]](items)
    vars(restored).update(_unpacked(value["with"], tensors))
    return restored


def _check_types(saved, own):
    """Raise ValueError for weights of another type, which loading would round without a word."""
    for name, weight in own.items():
        value = saved.get(name)
        if torch.is_tensor(value) and torch.is_tensor(weight) and value.dtype != weight.dtype:
            raise ValueError(f"{name} is {value.dtype}, wanted {weight.dtype}.")


def _check_moments(optimiser):
    """Raise ValueError for moments of another shape than their weight.

    The file knows weights by their order alone.
    """
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.ndim and value.shape != weight.shape:
                raise ValueError(
                    f"{name} of shape {tuple(value.shape)} is not that of a weight of shape "
                    f"{tuple(weight.shape)}: the weights to train must come in the same order."
                )


def _network_difference(saved, own):
    """The first weight whose shape differs in two networks, and how many more; "" for none."""
    saved_shapes, own_shapes = (
        {name: str(list(value.shape)) for name, value in state.items() if torch.is_tensor(value)}
        for state in (saved, own)
    )
    names = [
        name
        for name in {**saved_shapes, **own_shapes}
        if saved_shapes.get(name) != own_shapes.get(name)
    ]
    if not names:
        return ""
    in_file, here = (shapes.get(names[0], "not there") for shapes in (saved_shapes, own_shapes))
    more = f", and {len(names) - 1} more" if names[1:] else ""
    return f"{names[0]} is {in_file} in the file, {here} in this network{more}."


def _digest(text, tensors):
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _random_states():
    kind, keys, *rest = np.random.get_state()
    states = {"torch": torch.get_rng_state()}
    states["numpy"] = [kind, torch.from_numpy(keys.astype(np.int64)), *rest]
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random_states(states):
    torch.set_rng_state(states["torch"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
