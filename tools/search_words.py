"""Search that finds a symbol however it is written: λ₂, λ2, lambda_2 or lambda2."""

import re
from itertools import product

from sphinx.search import SearchEnglish

# Both names of a symbol of the lesson; LaTeX has a second one for ε.
NAMES = (("λ", "lambda"), ("σ", "sigma"), ("ε", "epsilon", "varepsilon"), ("μ", "mu"))
DIGITS = "0123456789"
LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", DIGITS)
SYMBOL = re.compile(rf"({'|'.join(sum(NAMES, ()))})_?([{DIGITS}₀-₉])?")


def spellings(word):
    """All ways to write a symbol with its number; any other word alone."""
    found = SYMBOL.fullmatch(word.lower())
    if not found:
        return [word]
    names = next(names for names in NAMES if found[1] in names)
    if found[2] is None:
        return list(names)
    digit = found[2].translate(LOWERED)
    lowered = chr(ord("₀") + int(digit))
    return [name + end for name, end in product(names, (digit, f"_{digit}", lowered))]


class SearchWords(SearchEnglish):
    """The words of the index; what the reader types stays as it is."""

    def split(self, text):
        return [spelling for word in super().split(text) for spelling in spellings(word)]
