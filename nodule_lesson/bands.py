"""Products with a narrow Toeplitz matrix, block by block: a Gaussian on a large image.

A symmetric Toeplitz matrix with a band of `radius` numbers on either side needs 2 radius + 1
multiplications per number; a dense product needs as many as the matrix has rows. If the field is
cut into blocks of BLOCK numbers, each block of the result depends on its own block and on the
nearest `radius` numbers of its two neighbours: three small dense products with BLOCK + 2 radius
multiplications per number.
"""

from torch.nn import functional as F

BLOCK = 64


def is_narrow(size, radius):
    """Whether products by blocks are faster for a matrix of `size` rows."""
    return 1 <= radius <= BLOCK and size >= 4 * BLOCK


def times(field, pair, radius):
    """field @ T for a field (..., N). pair: T for two blocks, (2 BLOCK, 2 BLOCK)."""
    size = field.shape[-1]
    blocks = F.pad(field, (0, -size % BLOCK)).unflatten(-1, (-1, BLOCK))
    own = blocks @ pair[:BLOCK, :BLOCK]
    before = blocks[..., :-1, -radius:] @ pair[BLOCK - radius : BLOCK, BLOCK:]
    after = blocks[..., 1:, :radius] @ pair[BLOCK : BLOCK + radius, :BLOCK]
    whole = own + F.pad(before, (0, 0, 1, 0)) + F.pad(after, (0, 0, 0, 1))
    return whole.flatten(-2)[..., :size]


def times_from_left(pair, field, radius):
    """T @ field for a field (..., N, M). pair: as in `times`."""
    size = field.shape[-2]
    blocks = F.pad(field, (0, 0, 0, -size % BLOCK)).unflatten(-2, (-1, BLOCK))
    own = pair[:BLOCK, :BLOCK] @ blocks
    before = pair[BLOCK:, BLOCK - radius : BLOCK] @ blocks[..., :-1, -radius:, :]
    after = pair[:BLOCK, BLOCK : BLOCK + radius] @ blocks[..., 1:, :radius, :]
    whole = own + F.pad(before, (0, 0, 0, 0, 1, 0)) + F.pad(after, (0, 0, 0, 0, 0, 1))
    return whole.flatten(-3, -2)[..., :size, :]
