"""Transfer learning: which blocks of a trained network are held still while the rest goes on.

The paper freezes one of S1, S5, S9, C1 and FC at a time (its Table 2).
"""

BLOCKS = (*(f"S{k}" for k in range(1, 10)), *(f"C{k}" for k in range(1, 6)), "FC")


def freeze(model, names):
    """Hold the blocks with these names of the paper still, and return how many numbers that is.

    model: a `DetectionGuidedNet`. names: some of BLOCKS: S1 .. S9, C1 .. C5, FC. Their parameters
    get no gradient, and their batch normalisation keeps using and keeping the statistics that it
    has, also after `model.train()`: a block whose parameters stand still while its statistics
    follow the new data is not frozen. A gradient that they have from before is dropped, since an
    optimiser that knows them would follow it. The number returned is that of the parameters.
    Raises ValueError for a name that the model does not have.
    """
    if isinstance(names, str):
        raise ValueError(f"names must be a list of blocks, found the text {names!r}.")
    there = [name for name in BLOCKS if hasattr(model, name)]
    for name in names:
        if name not in there:
            raise ValueError(
                f"names must be among {', '.join(there) or 'none: no block of the paper is here'}"
                f"; found {name!r}."
            )
    blocks = [getattr(model, name) for name in dict.fromkeys(names)]
    for block in blocks:
        block.requires_grad_(False)
        block.zero_grad(set_to_none=True)  # weight decay would move what has an old gradient
        block.eval()
        # Every loop calls model.train() now and then; the block goes back before it computes.
        block.register_forward_pre_hook(_still)
    return sum(p.numel() for block in blocks for p in block.parameters())


def _still(block, inputs):
    block.eval()
