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
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised

from nodule_lesson.files import difference, write_whole


class Checkpoint:
    """A file that `fit` writes every so many steps, and goes on from where it is there.

    path: of the file; its folder is made. configuration: a dictionary for JSON that says what is
    trained on what; a file of another one is refused. every: steps between two writings.
    Raises ValueError for an every below 1.
    """

    def __init__(self, path, configuration=None, every=100):
        if every < 1:
            raise ValueError(f"every must be at least 1, found {every!r}.")
        self.path, self.every = Path(path), every
        self.configuration = json.loads(json.dumps(configuration or {}))

    def save(self, parts, losses, fit=None):
        """Write the file. parts: name -> an object with state_dict. fit: what `fit` adds to the
        configuration."""
        tensors = {}
        state = {
            "configuration": {**self.configuration, "fit": fit},
            "losses": losses,
            "parts": {name: _packed(part.state_dict(), tensors) for name, part in parts.items()},
            "random": _packed(_random_states(), tensors),
        }
        text = json.dumps(state)
        told = {"state": text, "sha256": _digest(text, tensors)}
        write_whole(self.path, serialised(tensors, told))

    def load(self, parts, fit=None):
        """Put everything back and return the losses so far; [] where there is no file.

        Raises ValueError for a file that is damaged, of another configuration, or of other parts.
        """
        if not self.path.exists():
            return []
        state, tensors = self._read()
        wanted = {**self.configuration, "fit": fit}
        if unlike := difference(state["configuration"], wanted):
            raise ValueError(
                f"{self.path.name} is a checkpoint of another configuration ({unlike}): move it "
                "away, or name another file."
            )
        if unlike := set(parts) ^ set(state["parts"]):
            raise ValueError(f"{self.path.name} and this training differ in {sorted(unlike)}.")
        for name, part in parts.items():
            part.load_state_dict(_unpacked(state["parts"][name], tensors))
        _set_random_states(_unpacked(state["random"], tensors))
        return state["losses"]

    def remove(self):
        """Delete the file, when the result of the training is safe elsewhere."""
        self.path.unlink(missing_ok=True)
        for partial in self.path.parent.glob(f"{glob.escape(self.path.name)}.*.part"):
            partial.unlink(missing_ok=True)  # of a process that was killed while it wrote

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


def _packed(value, tensors):
    """As JSON can hold it. A dictionary becomes pairs, since JSON knows only text as keys."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"pairs": [[key, _packed(one, tensors)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(one, tensors) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds tensors, numbers and text, found {value!r}.")


def _unpacked(value, tensors):
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _unpacked(one, tensors) for key, one in value["pairs"]}
    return [_unpacked(one, tensors) for one in value] if isinstance(value, list) else value


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
