#!/usr/bin/env python3
# SPDX-FileCopyrightText: the pare authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the GGUF fuzzer into ./gguf beside this script."""
import pathlib
import struct

folder = pathlib.Path(__file__).parent / "gguf"
U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q",
           I64: "q", F64: "d"}


def text(value):
    return struct.pack("<Q", len(value)) + value


def packed(kind, value):
    return text(value) if kind == TEXT else struct.pack("<" + FORMATS[kind], value)


def entry(key, kind, value, *, array=False):
    if not array:
        return text(key) + struct.pack("<I", kind) + packed(kind, value)
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(
        packed(kind, v) for v in value)


def seed(name, entries=(), tensors=(), *, version=3, alignment=32):
    """tensors: (name, extents with the fastest first, type, data)"""
    infos, data = b"", b""
    for tensor, ne, kind, content in tensors:
        data += b"\0" * (-len(data) % alignment)
        infos += text(tensor) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, kind, len(data))
        data += content
    header = (b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries)
              + infos)
    (folder / name).write_bytes(header + b"\0" * (-len(header) % alignment) + data)


folder.mkdir(exist_ok=True)
seed("empty")
seed("version_2", version=2)
seed("version_1", version=1)
seed("numbers", [entry(bytes([97 + kind]), kind, 1) for kind in FORMATS])
seed("texts", [entry(b"general.architecture", TEXT, b"llama"),
               entry(b"tokens", TEXT, [b"<s>", b"", "ä".encode()], array=True)])
seed("arrays", [entry(bytes([97 + kind]), kind, [0, 1], array=True) for kind in FORMATS])
seed("array_of_arrays", [text(b"k") + struct.pack("<IIQ", ARRAY, ARRAY, 1)])
seed("floats", (), [(b"a", [2, 2], 0, struct.pack("<4f", 1, 2, 3, 4)), (b"b", [2], 1, b"\0\x3c" * 2),
                    (b"c", [1, 1, 1, 2], 30, b"\x80\x3f" * 2)])
seed("blocks", (), [(b"q8", [32, 2], 8, (b"\0\x3c" + bytes(range(32))) * 2),
                    (b"q4", [32], 2, b"\0\x3c" + bytes(range(16)))])
seed("other_types", (), [(b"q6", [256], 14, b"\1" * 210), (b"i", [3], 26, b"\1" * 12)])
seed("scalar_and_empty", (), [(b"s", [], 0, b"\0" * 4), (b"e", [0], 0, b"")])
seed("alignment", [entry(b"general.alignment", U32, 64)], [(b"a", [1], 0, b"\0" * 4),
                                                            (b"b", [1], 0, b"\0" * 4)], alignment=64)
seed("overflow", (), [(b"a", [1 << 32, 1 << 32], 0, b"\0" * 4)])
seed("overlap", (), [(b"a", [9], 0, b"\0" * 4), (b"b", [1], 0, b"\0" * 4)])
