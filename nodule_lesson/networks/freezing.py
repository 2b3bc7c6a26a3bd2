"""Transfer learning: freeze blocks of a trained network while the rest is trained further.

The paper freezes one of S1, S5, S9, C1 and FC at a time (its Table 2).
"""

BLOCKS = (*(f"S{k}" for k in range(1, 10)), *(f"C{k}" for k in range(1, 6)), "FC")


def freeze(model, names):
    """Freeze the blocks with these names of the paper; returns the number of their parameters.

    model: a `DetectionGuidedNet`. names: some of BLOCKS: S1 .. S9, C1 .. C5, FC. Their parameters
    get no gradient, and their batch normalisation uses and keeps its present statistics, also
    after `model.train()`: a block whose parameters are fixed while its statistics follow the new
    data is not frozen. Earlier gradients are removed, since an optimiser with these parameters
    would still apply them. Raises ValueError for a name that the model does not have.
    """
    if isinstance(names, str):
        raise ValueError(f"names must be a list of blocks, found the text {names!r}.")
    known = [name for name in BLOCKS if hasattr(model, name)]
    for name in names:
        if name not in known:
            raise ValueError(
                f"names must be among {', '.join(known) or 'none: no block of the paper is here'}"
                f"; found {name!r}."
            )
    blocks = [getattr(model, name) for name in dict.fromkeys(names)]
    for block in blocks:
        block.requires_grad_(False)
        block.zero_grad(set_to_none=True)  # Adam moves each parameter that has a gradient
        block.eval()
        # A training loop calls model.train(); the hook returns the block to evaluation mode.
        block.register_forward_pre_hook(_still)
    return sum(p.numel() for block in blocks for p in block.parameters())


def _still(block, inputs):
    block.eval()
