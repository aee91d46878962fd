"""The three kinds of table: frames, episodes, tasks, as `pyarrow.Table`s."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.demos.layout import VIDEO, Feature
from fabg.demos.stats import MOMENTS, QUANTILES


def frames_table(columns: Mapping[str, NDArray[Any]], features: Mapping[str, Feature]) -> Any:
    """Return the rows of the data file; each column has shape (frames, n)."""
    import pyarrow as pa

    arrays = {}
    for key, feature in features.items():
        flat = pa.array(np.ascontiguousarray(columns[key]).ravel())
        size = feature.shape[0]
        arrays[key] = flat if size == 1 else pa.FixedSizeListArray.from_arrays(flat, size)
    return pa.table(arrays)


def columns_of(table: Any, features: Mapping[str, Feature]) -> dict[str, NDArray[Any]]:
    """Return the numbers of a table of frames, (frames, n) by feature.

    Raises
    ------
    ValueError
        When a column is missing or not of the kind that its feature says.
    """
    import pyarrow as pa

    columns = {}
    for key, feature in features.items():
        array = table[key].combine_chunks()
        if pa.types.is_nested(array.type):
            array = array.flatten()  # a gap leaves too few numbers
        if array.null_count:
            raise ValueError(f"column {key!r} has gaps")
        values = array.to_numpy(zero_copy_only=False)
        if values.dtype != np.dtype(feature.dtype) or values.size != table.num_rows * feature.shape[0]:
            raise ValueError(
                f"column {key!r} holds {values.size} {values.dtype}: expected {feature.shape[0]} {feature.dtype} a row"
            )
        columns[key] = values.reshape(table.num_rows, feature.shape[0])
    return columns


def episodes_schema(features: Mapping[str, Feature]) -> Any:
    """Return the columns of the table of episodes.

    ``stats/...`` are LeRobot's own names; ``levels/...`` hold how many pixels of a video have each level, 3 x 256.
    """
    import pyarrow as pa

    whole, numbers = pa.int64(), pa.list_(pa.float64())
    fields = [
        ("episode_index", whole),
        ("tasks", pa.list_(pa.string())),
        ("length", whole),
        ("data/chunk_index", whole),
        ("data/file_index", whole),
        ("dataset_from_index", whole),
        ("dataset_to_index", whole),
    ]
    videos = [key for key, feature in features.items() if feature.dtype == VIDEO]
    for key in videos:
        fields += [(f"videos/{key}/{name}_index", whole) for name in ("chunk", "file")]
        fields += [(f"videos/{key}/{name}_timestamp", pa.float64()) for name in ("from", "to")]
    fields += [(f"meta/episodes/{name}_index", whole) for name in ("chunk", "file")]
    for key in features:
        kind = pa.list_(pa.list_(numbers)) if key in videos else numbers
        fields += [(f"stats/{key}/{name}", kind) for name in (*MOMENTS, *QUANTILES)]
        fields.append((f"stats/{key}/count", pa.list_(whole)))
    fields += [(f"levels/{key}", pa.list_(whole)) for key in videos]
    return pa.schema(fields)


def tasks_table(tasks: Sequence[str]) -> Any:
    """Return the table of tasks, with the texts as what pandas takes for its index."""
    import pyarrow as pa

    def column(name: str, kind: str, numpy_kind: str) -> dict[str, Any]:
        return {
            "name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_kind, "metadata": None,
        }  # fmt: skip

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": {"encoding": "UTF-8"},
            }
        ],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "pandas_version": "2.2.0",
    }
    table = pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())}
    )
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def tasks_of(table: Any) -> list[str]:
    """Return the texts of a table of tasks in the order of their index.

    Raises
    ------
    ValueError
        When it has no such column, or the indices are not 0, 1, 2, ...
    """
    texts = next((name for name in table.column_names if name != "task_index"), None)
    if texts is None or "task_index" not in table.column_names:
        raise ValueError(f"columns are {table.column_names}: expected task_index and task")
    rows = sorted(zip(table["task_index"].to_pylist(), table[texts].to_pylist(), strict=True))
    if [index for index, _ in rows] != list(range(len(rows))):
        raise ValueError(f"task_index is {[index for index, _ in rows]}: expected 0, 1, 2, ...")
    return [str(text) for _, text in rows]
