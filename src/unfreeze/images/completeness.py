"""Files that break off or are damaged, of formats whose decoders say nothing of it."""

import zlib

from unfreeze.images.jpeg_decoding import Undecodable

# PNG, 5.2: the signature; 5.3: of each chunk the length, the type, the data and the CRC.
PNG_SIGNATURE_BYTES = 8
JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
# Markers of a JPEG 2000 codestream (T.800, table A.1): of its start, of a tile-part, of its end.
START_OF_CODESTREAM, START_OF_TILE, END_OF_CODESTREAM = b"\xff\x4f", b"\xff\x90", b"\xff\xd9"
CUT = "the file breaks off"


def verify_png(data: bytes) -> None:
    """Check each chunk's CRC up to the last chunk; Pillow leaves out those of the pixels and of the end.

    Args:
        data: The file's bytes.

    Raises:
        Undecodable: A chunk is damaged or missing.
    """
    position = PNG_SIGNATURE_BYTES
    kind = b""
    while kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            raise Undecodable(CUT)
        if zlib.crc32(memoryview(data)[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise Undecodable(f"damaged: the checksum of a PNG chunk of type {kind!r} is wrong")
        position = end + 4


def verify_jpeg2000(data: bytes) -> None:
    """Check that a JPEG 2000 file goes on to its end: its decoder fills with grey what is missing.

    Args:
        data: The file's bytes.

    Raises:
        Undecodable: The codestream breaks off.
    """
    stream = _find_codestream(data)
    position = len(START_OF_CODESTREAM)
    while (marker := stream[position : position + 2]) != END_OF_CODESTREAM:
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker == START_OF_TILE:
            # The length of the whole tile-part (T.800, A.4.2); 0 for one that goes on to the end.
            length = int.from_bytes(stream[position + 6 : position + 10], "big") - 2
            length = len(stream) - len(END_OF_CODESTREAM) - position - 2 if length == -2 else length
        if length < 2 or len(marker) < 2:
            raise Undecodable(CUT)
        position += 2 + length


def _find_codestream(data: bytes) -> bytes:
    """Return the codestream, which is the whole file or one of its boxes (T.800, I.4)."""
    if data.startswith(START_OF_CODESTREAM):
        return data
    position = 0
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        header = 16 if length == 1 else 8
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        end = position + length if length else len(data)
        if end > len(data) or end < position + header:
            break
        if kind == b"jp2c":
            return data[position + header : end]
        position = end
    raise Undecodable(CUT)
