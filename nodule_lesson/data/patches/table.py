"""slices.csv: the table of slices, its columns and the types of their cells."""

import csv
import hashlib
import io

import numpy as np

from nodule_lesson.data.patches.folder import durable_file

# The columns that every slices.csv has, in this order.
COLUMNS = {
    "patient": "text",
    "scan": "text",
    "nodule": "text",
    "slice": "integer",
    "row_mm": "number",
    "column_mm": "number",
    "type": "text",
    "diameter": "number",
    "has_nodule": "yes or no",
}

# --- columns -------------------------------------------------------------------------------------


def check_slices(slices, count):
    """Check columns of `count` values each; return them as arrays, those of COLUMNS first."""
    if not hasattr(slices, "keys"):
        raise TypeError(f"slices must be a dict of columns, found {type(slices).__name__}.")
    missing = [name for name in COLUMNS if name not in slices]
    if missing:
        raise ValueError(f"slices lack the columns {', '.join(missing)}.")
    result = {}
    for name in [*COLUMNS, *(name for name in slices if name not in COLUMNS)]:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"columns must have names, found {name!r}.")
        values = np.asarray(slices[name])
        if values.shape != (count,):
            raise ValueError(
                f"column {name} must have one value per slice, shape ({count},), found "
                f"{values.shape}."
            )
        result[name] = _column(name, kind_of(name, values), slices[name])
    _check_values(result)
    return result


def kind_of(name, values):
    """The kind of a column's cells, as dataset.json records it."""
    kinds = {"b": "yes or no", "i": "integer", "u": "integer", "f": "number"}
    return COLUMNS.get(name) or kinds.get(values.dtype.kind, "text")


def _column(name, kind, values):
    """The values of one column as an array; "", None and nan are unknown in text and numbers."""
    try:
        if kind == "integer":
            return np.array([_whole(value) for value in values], np.int64)
        if kind == "number":
            unknown = (None, "")
            return np.array([np.nan if v in unknown else float(v) for v in values], np.float64)
        if kind == "yes or no":
            return np.array([_yes(value) for value in values], bool)
        return np.array([_text(value) for value in values], str)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"column {name} must hold {kind}: {error}.") from None


def _whole(value):
    if value in (None, "") or value != value:
        raise ValueError(f"{value!r} is unknown, which no whole number means")
    number = int(value)
    if isinstance(value, (bool, np.bool_)) or (not isinstance(value, str) and number != value):
        raise ValueError(f"{value!r} is not a whole number")
    return number


def _yes(value):
    if value not in (0, 1, "0", "1"):
        raise ValueError(f"{value!r} is neither 0 nor 1, and unknown it cannot be")
    return value in (1, "1")


def _text(value):
    # In a DataFrame an unknown text is nan.
    text = "" if value is None or value != value else str(value)
    if any(character in text for character in "\0\r\n"):
        raise ValueError(f"{text!r} is not one line")
    return text


def _check_values(slices):
    if (slices["patient"] == "").any():
        raise ValueError("column patient must not be empty anywhere: splits rest on it.")
    for name in ("row_mm", "column_mm", "diameter"):
        values = slices[name]
        wrong = values[~(np.isnan(values) | (np.isfinite(values) & (values > 0)))]
        if len(wrong):
            raise ValueError(f"{name} must be positive millimetres or unknown, found {wrong[0]}.")


# --- the file ------------------------------------------------------------------------------------


def write_slices(path, slices):
    """Write slices.csv; return its checksum."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(slices)
    table.writerows(zip(*(_cells(values) for values in slices.values()), strict=True))
    data = text.getvalue().encode()
    with durable_file(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _cells(values):
    if values.dtype.kind == "f":  # repr gives the number back exactly
        return ["" if np.isnan(value) else repr(value) for value in values.tolist()]
    return values.astype(int).tolist() if values.dtype.kind == "b" else values.tolist()


def read_slices(path, count, kinds, checksum=None):
    """The columns of slices.csv, which must have `count` rows.

    kinds: {name: kind} of extra columns. checksum: if given, the file must have it.
    """
    try:
        data = path.read_bytes()
    except OSError:
        raise ValueError(f"{path} is missing.") from None
    if checksum is not None and hashlib.sha256(data).hexdigest() != checksum:
        raise ValueError(f"{path} is damaged: its checksum is not the one in dataset.json.")
    try:
        table = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a table: {error}.") from None
    header, rows = table[0] if table else [], table[1:]
    if header[: len(COLUMNS)] != list(COLUMNS) or len(set(header)) != len(header):
        raise ValueError(
            f"{path} must begin with the columns {', '.join(COLUMNS)} and have none twice, found "
            f"{', '.join(header) or 'none'}."
        )
    uneven = [number for number, row in enumerate(rows, 2) if len(row) != len(header)]
    if uneven:
        raise ValueError(
            f"{path} must have {len(header)} cells per row, not so in row {uneven[0]}."
        )
    if len(rows) != count:
        raise ValueError(f"{path} has {len(rows)} rows, and images.npy {count} slices.")
    try:
        slices = {
            name: _column(name, COLUMNS.get(name) or kinds.get(name), cells)
            for name, cells in zip(header, zip(*rows, strict=True), strict=True)
        }
        _check_values(slices)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return slices
