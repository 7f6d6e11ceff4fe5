"""How is a TIFF file of any number type written, as no library does?"""

import struct


def tiff(path, values, samples=1, photometric=1, number=1, **more):
    """Write the numbers as they are: one strip, little endian. ``number``: 3 is a float."""
    data, bits = values.tobytes(), values.dtype.itemsize * 8
    height, width = values.shape[:2]
    tags = {256: (width,), 257: (height,), 258: (bits,) * samples, 259: (1,)}
    tags |= {262: (photometric,), 277: (samples,), 278: (height,), 279: (len(data),)}
    tags |= {339: (number,) * samples}
    tags |= {int(name[1:]): value for name, value in more.items()}
    beyond = 8 + 2 + 12 * (len(tags) + 1) + 4  # what does not fit in an entry lies after them
    spilled = sum(2 * len(value) for value in tags.values() if len(value) > 2)
    tags[273] = (beyond + spilled,)
    entries, lists = b"", b""
    for tag, value in sorted(tags.items()):
        packed = struct.pack(f"<{len(value)}H", *value)
        if len(packed) > 4:
            packed, lists = struct.pack("<I", beyond + len(lists)), lists + packed
        entries += struct.pack("<HHI", tag, 3, len(value)) + packed.ljust(4, b"\0")
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0\x08\0\0\0" + directory + lists + data)
    return path
