"""How docs/FORMAT.md writes values (chapter 1): strict codecs that read and write, and records made of them.

A record is a dataclass whose fields say their codec with `wire(...)`; parse() and encode() follow that
order. Whatever parses encodes back to the same bytes; everything else raises Refused. Not here: the
records, cryptography, files.
"""
from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any, Callable, TypeVar, dataclass_transform

Kind = TypeVar("Kind")


class Refused(Exception):
    """Bytes that FORMAT.md says must be refused. The message says what and why."""


class Unsupported(Refused):
    """Bytes of a newer format: a reader must not go on without them."""


def need(condition: object, why: str) -> None:
    if not condition:
        raise Refused(why)


class Source:
    """Bytes that are read from front to back."""
    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data, self.at, self.end = data, at, len(data) if end is None else end

    def left(self) -> int:
        return self.end - self.at

    def take(self, size: int) -> bytes:
        need(size <= self.left(), f"ends inside a field of {size} bytes")
        self.at += size
        return self.data[self.at - size:self.at]


class Codec:
    def read(self, source: Source) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> bytes:
        raise NotImplementedError


class Number(Codec):
    """Little-endian, `size` bytes; refuses what is outside low..high (both included)."""
    def __init__(self,
                 size: int,
                 low: int | None = None,
                 high: int | None = None,
                 signed: bool = False) -> None:
        self.size, self.low, self.high, self.signed = size, low, high, signed

    def read(self, source: Source) -> int:
        value = int.from_bytes(source.take(self.size), "little", signed=self.signed)
        need(self.low is None or value >= self.low, f"number {value} is below {self.low}")
        need(self.high is None or value <= self.high, f"number {value} is above {self.high}")
        return value

    def write(self, value: int) -> bytes:
        return value.to_bytes(self.size, "little", signed=self.signed)


class Varint(Codec):
    """LEB128 in its shortest form."""
    def __init__(self, low: int = 0, high: int = 2**64 - 1) -> None:
        self.low, self.high = low, high

    def read(self, source: Source) -> int:
        value = shift = 0
        while True:
            byte = source.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            need(shift < 70, "varint of more than 10 bytes")
        need(byte != 0 or shift == 7, "varint that is not the shortest")
        need(self.low <= value <= self.high, f"varint {value} is not in {self.low}..{self.high}")
        return value

    def write(self, value: int) -> bytes:
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        return bytes(out)


class Instant(Codec):
    """Seconds svarint, nanoseconds u32 counted upwards; read as nanoseconds since 1970."""
    def read(self, source: Source) -> int:
        zigzag = Varint().read(source)
        seconds = -(zigzag + 1) // 2 if zigzag & 1 else zigzag // 2
        return seconds * 10**9 + Number(4, high=10**9 - 1).read(source)

    def write(self, value: int) -> bytes:
        seconds, nanoseconds = divmod(value, 10**9)
        return Varint().write(2 * seconds if seconds >= 0 else -2 * seconds -
                              1) + Number(4).write(nanoseconds)


class Bytes(Codec):
    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, source: Source) -> bytes:
        return source.take(self.size)

    def write(self, value: bytes) -> bytes:
        return value


class Counted(Codec):
    """A length by the codec `length`, then that many bytes."""
    def __init__(self, length: Codec) -> None:
        self.length = length

    def read(self, source: Source) -> bytes:
        return source.take(self.length.read(source))

    def write(self, value: bytes) -> bytes:
        return self.length.write(len(value)) + value


class Option(Codec):
    def __init__(self, item: Codec) -> None:
        self.item = item

    def read(self, source: Source) -> Any:
        return self.item.read(source) if Number(1, high=1).read(source) else None

    def write(self, value: Any) -> bytes:
        return b"\0" if value is None else b"\1" + self.item.write(value)


def need_ascending(keys: list[Any], what: str) -> None:
    need(all(one < next_one for one, next_one in zip(keys, keys[1:])), f"{what} not strictly ascending")


class List(Codec):
    """u32 count, then the items. With `key`, strictly ascending by it."""
    def __init__(self, item: Codec, high: int, low: int = 0, key: Callable[[Any], Any] | None = None) -> None:
        self.item, self.low, self.high, self.key = item, low, high, key

    def read(self, source: Source) -> tuple[Any, ...]:
        count = Number(4, self.low, self.high).read(source)
        need(count <= source.left(), f"a list of {count} items in {source.left()} bytes")
        items = tuple(self.item.read(source) for _ in range(count))
        if self.key:
            need_ascending([self.key(item) for item in items], "list")
        return items

    def write(self, value: tuple[Any, ...]) -> bytes:
        return Number(4).write(len(value)) + b"".join(map(self.item.write, value))


def sorted_list(item: Codec, high: int, low: int = 0) -> List:
    return List(item, high, low, key=lambda value: value)


class Times(Codec):
    """Exactly `count` items, without a count in front."""
    def __init__(self, count: int, item: Codec) -> None:
        self.count, self.item = count, item

    def read(self, source: Source) -> tuple[Any, ...]:
        return tuple(self.item.read(source) for _ in range(self.count))

    def write(self, value: tuple[Any, ...]) -> bytes:
        return b"".join(map(self.item.write, value))


class When(Codec):
    """A field that is there only if `condition` holds for the fields before it; None otherwise."""
    def __init__(self, condition: Callable[[Any], object], item: Codec) -> None:
        self.condition, self.item = condition, item
        self.read, self.write = item.read, item.write  # type: ignore[method-assign]


@functools.cache
def _codecs(kind: type) -> list[tuple[str, Codec]]:
    return [(f.name, f.metadata["codec"]) for f in dataclasses.fields(kind) if "codec" in f.metadata]


class Record(Codec):
    """The wire() fields of a dataclass, in order. The dataclass refuses bad combinations in __post_init__."""
    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.fields = _codecs(kind)

    def read(self, source: Source) -> Any:
        values = types.SimpleNamespace()
        for name, codec in self.fields:
            absent = isinstance(codec, When) and not codec.condition(values)
            setattr(values, name, None if absent else codec.read(source))
        return self.kind(**vars(values))

    def write(self, value: Any) -> bytes:
        return b"".join(
            codec.write(getattr(value, name)) for name, codec in self.fields
            if not isinstance(codec, When) or codec.condition(value))


def wire(codec: Codec) -> Any:
    return dataclasses.field(metadata={"codec": codec})


@dataclass_transform(frozen_default=True, order_default=True, field_specifiers=(dataclasses.field, wire))
def record(kind: type[Kind]) -> type[Kind]:
    """Makes a class of wire() fields a frozen dataclass that sorts by its fields, from left to right."""
    return dataclasses.dataclass(frozen=True, order=True)(kind)


def parse(kind: type[Kind], data: bytes) -> Kind:
    """Parses a whole record; nothing may be left over."""
    source = Source(data)
    value: Kind = Record(kind).read(source)
    need(source.left() == 0, f"{source.left()} bytes left over")
    return value


def encode(record: Any) -> bytes:
    return Record(type(record)).write(record)


U8, U16, U32, U64 = Number(1), Number(2), Number(4), Number(8)
TIME = Number(8, signed=True)
TEXT = Counted(Number(2, high=4096))
ID = Bytes(32)
