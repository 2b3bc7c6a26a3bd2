"""Checkpoints: all that a training needs to go on, in one file, written whole or not at all.

The file is safetensors: tensors, and beside them a text in JSON. Reading it runs no code, as
reading a pickle may. It holds the state of every part that has one (network with its running
averages, optimiser with its moments, schedule, place in the data), the states of the random
generators of torch, of its GPU and of NumPy, the losses so far, and the configuration that all
this belongs to.
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

# What JSON would give back as a list or a dictionary: the name of the type is written beside it.
# MultiStepLR, for one, asks its Counter for what a dictionary cannot answer.
TYPES = {kind.__name__: kind for kind in (tuple, OrderedDict, Counter)}


class Checkpoint:
    """A file that `fit` writes every so many steps, and goes on from where it is there.

    path: of the file; its folder is made. configuration: a dictionary for JSON that says what is
    trained on what; a file of another one is refused. every: steps between two writings.
    Raises ValueError for an every below 1, TypeError for a configuration that JSON cannot hold.
    """

    def __init__(self, path, configuration=None, every=100):
        if every < 1:
            raise ValueError(f"every must be at least 1, found {every!r}.")
        self.path, self.every = Path(path), every
        self.configuration = json.loads(json.dumps(configuration or {}, default=plain_number))

    def save(self, parts, losses, fit=None):
        """Write the file. parts: name -> an object with state_dict. fit: what `fit` adds to the
        configuration. Raises TypeError for a state that the file cannot hold."""
        write_whole(self.path, self._as_bytes(parts, losses, fit))

    def rehearse(self, parts, fit=None):
        """Do all that `save` does, and keep nothing: what fails then, fails before the training.

        Raises TypeError for a state that the file cannot hold, OSError for a folder that takes no
        file.
        """
        self._as_bytes(parts, [], fit)
        make_folder(self.path.parent)

    def load(self, parts, fit=None):
        """Put everything back and return the losses so far; [] where there is no file.

        Raises ValueError for a file that is damaged, of another configuration, of other parts, or
        of a state that a part does not take. Then all parts are as they were.
        """
        if not self.path.exists():
            return []
        state, tensors = self._read()
        wanted = json.loads(json.dumps({**self.configuration, "fit": fit}, default=plain_number))
        if unlike := difference(state["configuration"], wanted):
            raise ValueError(
                f"{self.path.name} is a checkpoint of another configuration ({unlike}): move it "
                "away, or name another file."
            )
        if unlike := set(parts) ^ set(state["parts"]):
            raise ValueError(f"{self.path.name} and this training differ in {sorted(unlike)}.")
        states = {name: _unpacked(state["parts"][name], tensors) for name in parts}
        self._put_back(parts, states)
        _set_random_states(_unpacked(state["random"], tensors))
        return state["losses"]

    def _put_back(self, parts, states):
        """Load each part's state: all of them, or none."""
        tensors = {}
        before = {name: _packed(part.state_dict(), tensors) for name, part in parts.items()}
        begun = []
        try:
            for name, part in parts.items():
                begun.append(name)
                if isinstance(part, torch.nn.Module):
                    _check_types(states[name], part.state_dict())
                part.load_state_dict(states[name])
                if isinstance(part, torch.optim.Optimizer):
                    _check_moments(part)
        except Exception as error:
            own = {one: _unpacked(before[one], tensors) for one in begun}
            for one in begun:  # the one that has failed comes last
                parts[one].load_state_dict(own[one])
            unlike = ""
            if isinstance(parts[name], torch.nn.Module):
                unlike = _unlike_networks(states[name], own[name])
            why = unlike or " ".join(str(error).split())
            raise ValueError(
                f"{self.path.name} does not fit, and nothing of it was taken; {name}: {why}"
            ) from error

    def remove(self):
        """Delete the file, when the result of the training is safe elsewhere."""
        self.path.unlink(missing_ok=True)
        for partial in self.path.parent.glob(f"{glob.escape(self.path.name)}.*.part"):
            partial.unlink(missing_ok=True)  # of a process that was killed while it wrote

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
                told = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if told["sha256"] != _digest(told["state"], tensors):
                raise ValueError("its checksum is another one")
            return json.loads(told["state"]), tensors
        except PermissionError:
            raise
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path.name} is damaged, or no checkpoint ({error}): delete it and begin "
                "anew."
            ) from None


def _packed(value, tensors, place=""):
    """As JSON can hold it, tensors apart. place: the value's name, for an error.

    A dictionary becomes pairs, since JSON knows only text as keys. What would come back as
    something else raises TypeError.
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
        items = [_packed(one, tensors, f"{place}[{k}]") for k, one in enumerate(value)]
        return items if kind is list else {"items": items, "type": kind.__name__}
    if kind in (dict, OrderedDict, Counter):
        pairs = [
            [_packed(key, tensors, f"a key of {place}"), _packed(one, tensors, f"{place}.{key}")]
            for key, one in value.items()
        ]
        if kind is dict:
            return {"pairs": pairs}
        # A network's state has the versions of its layers as an attribute.
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
    """Put a copy of a tensor among `tensors`, and return its name there."""
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
    except (KeyError, SafetensorError):  # it has no name for numbers of this kind
        return False
    return True


def _unpacked(value, tensors):
    if isinstance(value, list):
        return [_unpacked(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "numpy" in value:
        array = tensors[value["numpy"]].numpy()
        return array[()] if value["scalar"] else array
    if "items" in value:
        return TYPES[value["type"]](_unpacked(value["items"], tensors))
    pairs = {_unpacked(key, tensors): _unpacked(one, tensors) for key, one in value["pairs"]}
    if "type" not in value:
        return pairs
    found = TYPES[value["type"]](pairs)
    vars(found).update(_unpacked(value["with"], tensors))
    return found


def _check_types(found, own):
    """Loading would round a weight to another type without a word."""
    for name, other in own.items():
        one = found.get(name)
        if torch.is_tensor(one) and torch.is_tensor(other) and one.dtype != other.dtype:
            raise ValueError(f"{name} is {one.dtype}, wanted {other.dtype}.")


def _check_moments(optimiser):
    """The optimiser knows its weights by their order alone."""
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.ndim and value.shape != weight.shape:
                raise ValueError(
                    f"{name} of shape {tuple(value.shape)} is not that of a weight of shape "
                    f"{tuple(weight.shape)}: the weights to train must come in the same order."
                )


def _unlike_networks(found, own):
    """The first weight in which two states of networks differ, and how many more; "" for none."""
    shapes = [
        {name: str(list(v.shape)) for name, v in state.items() if torch.is_tensor(v)}
        for state in (found, own)
    ]
    names = [
        name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)
    ]
    if not names:
        return ""
    one, other = (shape.get(names[0], "not there") for shape in shapes)
    more = f", and {len(names) - 1} more" if names[1:] else ""
    return f"{names[0]} is {one} in the file, {other} in this network{more}."


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
