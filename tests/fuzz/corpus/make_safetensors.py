#!/usr/bin/env python3
# SPDX-FileCopyrightText: the pare authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the safetensors fuzzer into ./safetensors beside this script."""
import json
import math
import pathlib
import struct

folder = pathlib.Path(__file__).parent / "safetensors"


def seed(name, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def layer(n, m, dtype, rows, cols):
    return {"format": "n_m", "version": 1, "n": n, "m": m, "dtype": dtype, "rows": rows,
            "cols": cols}


def packed_seed(name, n, m, dtype, rows, cols, index_word):
    """A layer of n:m in tiles of 16 rows, all of whose index words are index_word."""
    size = {"F32": 4, "F16": 2, "BF16": 2}[dtype]
    tiles, steps = (rows + 15) // 16, cols // m * n + min(n, cols % m)
    words = 0 if n == m else (steps * (m - 1).bit_length() + 31) // 32
    n_values, n_indices = tiles * steps * 16, tiles * words * 16
    values = b"\x00\x3c" * (n_values * size // 2)
    header = {"__metadata__": {"pare.w": json.dumps(layer(n, m, dtype.lower(), rows, cols))},
              "w.values": tensor(dtype, [tiles, steps, 16], 0, len(values))}
    if words:
        header["w.indices"] = tensor("U32", [tiles, words, 16], len(values),
                                     len(values) + 4 * n_indices)
    seed(name, header, values + struct.pack("<I", index_word) * n_indices)


def hinm_seed(name, n, m, dtype, rows, cols, tile_rows, kept, dense, outputs, index_word):
    """Likewise hinm, the kept columns of a tile ascending; outputs: None where in place."""
    size = {"F32": 4, "F16": 2}[dtype]
    n_tiles, last = (rows + tile_rows - 1) // tile_rows, (rows - 1) % tile_rows
    tiles = (n_tiles - 1) * ((tile_rows + 15) // 16) + last // 16 + 1  # of the compact matrix
    grouped = kept - dense
    steps = grouped // m * n + min(n, grouped % m)
    words = (steps * (m - 1).bit_length() + 31) // 32
    columns = [c + t if c < kept else 0 for t in range(n_tiles) for c in range(kept + kept % 2)]
    parts = [("values", dtype, [tiles, steps, 16], b"\x00\x3c" * (tiles * steps * 8 * size)),
             ("dense", dtype, [tiles, dense, 16], b"\x00\x3c" * (tiles * dense * 8 * size)),
             ("indices", "U32", [tiles, words, 16],
              struct.pack("<I", index_word) * (tiles * words * 16)),
             ("columns", "U32", [n_tiles, (kept + 1) // 2],
              struct.pack(f"<{len(columns)}H", *columns))]
    if outputs:
        parts.append(("outputs", "U32", [rows], struct.pack(f"<{rows}I", *outputs)))
    description = layer(n, m, dtype.lower(), rows, cols) | {
        "format": "hinm", "tile_rows": tile_rows, "kept": kept, "dense": dense,
        "in_place": int(outputs is None)}
    header, data = {"__metadata__": {"pare.w": json.dumps(description)}}, b""
    for part, type_name, shape, content in parts:
        if content:
            header["w." + part] = tensor(type_name, shape, len(data), len(data) + len(content))
            data += content
    seed(name, header, data)


def coded_seed(name, description, **parts):
    """A layer of codes: of each part its shape and the word, or words, that it consists of."""
    header, data = {"__metadata__": {"pare.w": json.dumps(description)}}, b""
    for part, (shape, words) in parts.items():
        size = math.prod(shape)
        content = struct.pack(f"<{size}I", *([words] * size if isinstance(words, int) else words))
        header["w." + part] = tensor("U32", shape, len(data), len(data) + len(content))
        data += content
    seed(name, header, data)


def block_seed(name, block_rows, dtype, rows, cols, blocks):
    """Blocks (first row, column), in order, of fewer than 1025 columns."""
    size = {"F32": 4, "F16": 2}[dtype]
    starts = [sum(first < row for first, _ in blocks) for row in range(rows + 1)]
    columns = [column for _, column in blocks] + [0] * (len(blocks) % 2)
    parts = [("values", dtype, [len(blocks), block_rows],
              b"\x00\x3c" * (len(blocks) * block_rows * size // 2)),
             ("starts", "U32", [rows + 1], struct.pack(f"<{rows + 1}I", *starts)),
             ("columns", "U32", [len(columns) // 2], struct.pack(f"<{len(columns)}H", *columns))]
    description = {"format": "block", "version": 1, "block_rows": block_rows,
                   "dtype": dtype.lower(), "rows": rows, "cols": cols, "n_blocks": len(blocks)}
    header, data = {"__metadata__": {"pare.w": json.dumps(description)}}, b""
    for part, type_name, shape, content in parts:
        header["w." + part] = tensor(type_name, shape, len(data), len(data) + len(content))
        data += content
    seed(name, header, data)


folder.mkdir(exist_ok=True)
seed("empty", {})
seed("floats", {"a": tensor("F32", [2, 3], 0, 24)}, bytes(24))
seed("types", {"b": tensor("BF16", [3], 16, 22), "h": tensor("F16", [2], 22, 26),
               "d": tensor("F64", [2], 0, 16), "q": tensor("F4", [4], 26, 28)}, bytes(range(28)))
seed("scalar_and_empty", {"s": tensor("I64", [], 0, 8), "e": tensor("U8", [0, 5], 8, 8)}, bytes(8))
seed("metadata", {"__metadata__": {"format": "pt", "k": ""}, "a": tensor("BOOL", [1], 0, 1)}, b"\1")
seed("escapes", rb'{"\u0061\n\ud83d\ude00\/":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
     b"\0")
seed("overlap", {"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, bytes(6))
seed("hole", {"a": tensor("U8", [1], 1, 2)}, bytes(2))
seed("overflow", {"a": tensor("F32", [2**62, 4], 0, 0)})
seed("unknown_dtype", {"a": tensor("F128", [1], 0, 16)}, bytes(16))
packed_seed("n_m_2_4_f16", 2, 4, "F16", 17, 9, 0x00000099)
packed_seed("n_m_1_3_f32", 1, 3, "F32", 3, 7, 0x00000006)
packed_seed("n_m_3_5_bf16", 3, 5, "BF16", 16, 10, 0x00000688)
packed_seed("n_m_bad_index", 1, 3, "F32", 16, 6, 0xffffffff)
packed_seed("dense_f32", 1, 1, "F32", 2, 3, 0)
hinm_seed("hinm_2_4_f16", 2, 4, "F16", 5, 12, 2, 8, 0, [4, 2, 0, 1, 3], 0x00000099)
hinm_seed("hinm_1_3_f32_dense", 1, 3, "F32", 18, 9, 17, 5, 2, None, 0x00000002)
block_seed("block_4_f32", 4, "F32", 9, 3, [(0, 0), (0, 2), (3, 1), (5, 2), (8, 0)])
block_seed("block_16_f16", 16, "F16", 20, 2, [(1, 1), (17, 1)])
# 36 steps fill 64.
coded_seed("n_m_2_4_i4_g32_a", layer(2, 4, "i4:g32:a", 17, 72), values=([2, 8, 16], 0x12345678),
           indices=([2, 4, 16], 0x99999999), scales=([2, 2, 16], 0x3f80fffd))
# Of two columns one is dense, one in a group.
coded_seed("hinm_1_3_nf4_g32", layer(1, 3, "nf4:g32", 18, 4) | {
    "format": "hinm", "tile_rows": 18, "kept": 2, "dense": 1, "in_place": 1},
    values=([2, 4, 16], 0x12345678), dense=([2, 4, 16], 0x87654321), indices=([2, 2, 16], 0),
    scales=([2, 1, 16], 0x3f80), dense_scales=([2, 1, 16], 0x3f80), columns=([1, 1], 0x20000))
coded_seed("block_4_e4m3", {"format": "block", "version": 1, "block_rows": 4, "dtype": "e4m3",
                            "rows": 5, "cols": 1, "n_blocks": 1},
           values=([1], 0x12345678), starts=([6], [0, 1, 1, 1, 1, 1]), columns=([1], 0),
           scales=([3], 0x3f803f80))
