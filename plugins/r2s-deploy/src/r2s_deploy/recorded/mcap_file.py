"""MCAP files of unknown origin, read within limits; needs the extra `mcap`."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from r2s_deploy.errors import DeployError

try:
    import lz4.frame
    import zstandard
    from mcap.exceptions import McapError
    from mcap.reader import SeekingReader
    from mcap.records import Channel, Chunk, McapRecord, Message, Schema
    from mcap.stream_reader import StreamReader, breakup_chunk
    from mcap_ros2.decoder import DecoderFactory
except ImportError as error:
    raise DeployError(
        f"reading MCAP files needs the library {(error.name or 'mcap').partition('.')[0]}: install "
        "r2s-deploy with the extra `mcap`"
    ) from None

_MIB = 2**20
_LARGEST = 512 * _MIB  # a record, and a chunk once it is unpacked


@dataclasses.dataclass(frozen=True)
class Topic:
    """type: such as "JointState", without its package. encoding: of its messages, "cdr" or "json".
    count: its messages; None: the file does not say."""

    name: str
    type: str
    encoding: str
    count: int | None

    def __str__(self) -> str:
        count = "" if self.count is None else f", {self.count:,} messages"
        return f"{self.name} ({self.type or 'no schema'}, {self.encoding}{count})"


class Recorded(NamedTuple):
    """A message of a topic, decoded. time_s: when it was recorded, s since 1970."""

    topic: str
    time_s: float
    message: Any


def topics(path: Path) -> dict[str, Topic]:
    """The topics of a file, by name; raises `DeployError` where it is damaged."""
    with _opened(path) as file:
        summary = SeekingReader(file, record_size_limit=_LARGEST).get_summary()
        if summary is not None and summary.channels:
            channels, schemas = summary.channels, summary.schemas
            counts = None
            if summary.statistics is not None:
                counts = summary.statistics.channel_message_counts
        else:
            channels, schemas, counts = _scanned(file)
    found: dict[str, Topic] = {}
    for number, channel in sorted(channels.items()):
        schema = schemas.get(channel.schema_id)
        kind = "" if schema is None else schema.name.replace("/", ".").rpartition(".")[2]
        count = None if counts is None else counts.get(number, 0)
        if (known := found.get(channel.topic)) is not None and known.count is not None:
            count = known.count + (count or 0)
        found[channel.topic] = Topic(channel.topic, kind, channel.message_encoding, count)
    return found


def messages(path: Path, wanted: Collection[str]) -> Iterator[Recorded]:
    """The messages of some topics, in the order of the file.

    Raises `DeployError` where the file is damaged, or a message is not in CDR with a schema of ROS
    2, or JSON.
    """
    channels: dict[int, Channel] = {}
    schemas: dict[int, Schema] = {}
    decoders: dict[int, Callable[[bytes], Any]] = {}
    factory, count = DecoderFactory(), 0
    with _opened(path) as file:
        for record in _records(file):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                channel = channels[record.channel_id]
                if channel.topic not in wanted:
                    continue
                if channel.id not in decoders:
                    schema = schemas.get(channel.schema_id)
                    decoders[channel.id] = _decoder(factory, channel, schema, path)
                count += 1
                try:
                    decoded = decoders[channel.id](record.data)
                except Exception as error:  # struct.error, and what else libraries raise
                    raise DeployError(
                        f"{path}: message {count} of those read, of {channel.topic}, is not what "
                        f"its schema says: {_reason(error)}"
                    ) from error
                yield Recorded(channel.topic, 1e-9 * record.log_time, decoded)


def _decoder(
    factory: DecoderFactory, channel: Channel, schema: Schema | None, path: Path
) -> Callable[[bytes], Any]:
    if channel.message_encoding == "json":
        return json.loads
    try:
        found = factory.decoder_for(channel.message_encoding, schema)
    except Exception as error:  # of a parser of message definitions
        raise DeployError(
            f"{path}: the message definition of {channel.topic} cannot be read: {_reason(error)}"
        ) from error
    if found is None:
        said = "no schema" if schema is None else f"a schema in {schema.encoding or 'nothing'}"
        raise DeployError(
            f"{path}: the messages of {channel.topic} are in {channel.message_encoding or 'bytes'} "
            f"with {said}; what is read is cdr with a schema in ros2msg (ROS 2), and json"
        )
    return found


def _scanned(
    file: IO[bytes],
) -> tuple[dict[int, Channel], dict[int, Schema], dict[int, int]]:
    """Channels, schemas and numbers of messages of a file without a summary."""
    channels: dict[int, Channel] = {}
    schemas: dict[int, Schema] = {}
    counts: dict[int, int] = {}
    file.seek(0)
    for record in _records(file):
        if isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Message):
            counts[record.channel_id] = counts.get(record.channel_id, 0) + 1
    return channels, schemas, counts


def _records(file: IO[bytes]) -> Iterator[McapRecord]:
    """The records of a file, those within chunks too."""
    reader = StreamReader(file, emit_chunks=True, record_size_limit=_LARGEST)
    for record in reader.records:
        if isinstance(record, Chunk):
            yield from breakup_chunk(_unpacked(record), validate_crc=True)
        else:
            yield record


def _unpacked(chunk: Chunk) -> Chunk:
    """A chunk without compression: mcap's own would unpack one of any size."""
    if chunk.uncompressed_size > _LARGEST:
        raise McapError(f"a chunk has {chunk.uncompressed_size:,} bytes when unpacked")
    if chunk.compression == "zstd":
        with zstandard.ZstdDecompressor().stream_reader(chunk.data) as stream:
            data = stream.read(chunk.uncompressed_size)
    elif chunk.compression == "lz4":
        data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, chunk.uncompressed_size)
    elif chunk.compression == "":
        data = chunk.data
    else:
        raise McapError(f"its compression {chunk.compression[:20]} is none of zstd and lz4")
    if len(data) != chunk.uncompressed_size:
        raise McapError(f"a chunk has {len(data):,} bytes, not {chunk.uncompressed_size:,}")
    return Chunk(
        compression="",
        data=data,
        message_start_time=chunk.message_start_time,
        message_end_time=chunk.message_end_time,
        uncompressed_crc=chunk.uncompressed_crc,
        uncompressed_size=chunk.uncompressed_size,
    )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    size = 0
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            yield file
    except DeployError:
        raise
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # of mcap, struct, zstandard and lz4, without a common base
        raise DeployError(
            f"{path} ({size:,} bytes) is no whole MCAP file: {_reason(error)}; where a recording "
            "was interrupted, `mcap recover FILE -o WHOLE` of MCAP's own tool saves the rest"
        ) from error


def _reason(error: BaseException) -> str:
    text = (str(error).splitlines() or [""])[0][:160]
    return text or type(error).__name__
