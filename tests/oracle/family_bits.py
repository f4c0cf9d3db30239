"""family_bits.py: random commands on bitmaps, bit fields and HyperLogLogs.

HyperLogLogs live mostly on keys of their own, or bit commands would soon make each of them invalid.
The comparison of all data at the end of a round compares them byte by byte, cached count included.
Offsets go up to the end of 512 MB, but what is written stays below a megabyte: the limit itself is
tested with a smaller proto-max-bulk-len.
"""

SKETCH_KEYS = [b"a", b"k1", b"{t}1", b"{t}2", b"{u}1", b"x{y", b"L" * 300]
OFFSETS = [0, 1, 7, 8, 9, 15, 63, 64, 65, 351, 352, 8183, 8184, 8191, 8192, 8193, 8200, 99999]
OFFSETS_HOSTILE = [b"4294967295", b"4294967296", b"4294967288", b"4294967289", b"-1", b"#0", b"#1",
                   b"#-1", b"#", b"", b"x", b"1.0", b" 1", b"+1", b"01", b"9223372036854775807",
                   b"9223372036854775808", b"-9223372036854775808", b"2305843009213693952"]
TYPES_HOSTILE = [b"u64", b"i65", b"u0", b"i0", b"i", b"u", b"", b"I8", b"U8", b"8", b"u08", b"u-1",
                 b"i+8", b"u8 ", b"x8", b"u99999999999999999999"]
BULK_SMALL = b"1048576"
SPARSE_SIZES = [b"0", b"18", b"20", b"25", b"60", b"300", b"3000", b"3001", b"12304", b"100000"]


def bit_key(v):
    return v.key() if v.chance(0.8) else v.choice(SKETCH_KEYS)


def sketch_key(v):
    return v.choice(SKETCH_KEYS) if v.chance(0.97) else v.key()


def offset_value(v):
    draw = v.chance_value()
    if draw < 0.7:
        return v.random.randint(0, 700)
    if draw < 0.97:
        return v.choice(OFFSETS)
    return v.random.randint(0, 300_000)


def write_offset(v):
    if v.chance(0.95):
        return b"%d" % offset_value(v)
    # What would be written far out is refused; the largest offset is left to reads.
    return v.choice([word for word in OFFSETS_HOSTILE if not word.startswith(b"42949672")
                     or word == b"4294967296"])


def read_offset(v):
    return b"%d" % offset_value(v) if v.chance(0.9) else v.choice(OFFSETS_HOSTILE)


def bit(v):
    return v.choice((b"0", b"1", b"1")) if v.chance(0.96) else v.integer()


def bitmap(v):
    """Values with long runs of one bit, which BITPOS has to pass."""
    draw = v.random.randrange(6)
    size = v.choice((0, 1, 2, 7, 8, 9, 31, 32, 33, 44, 45, 64, 100, 300, 1023, 1024, 1025, 5000))
    if draw == 0:
        return v.bytes(size)
    value = bytearray(v.choice((b"\x00", b"\xff"))) * size
    if draw > 2 and size:
        value[v.random.randrange(size)] = v.random.randrange(256)
    return bytes(value)


def do_setbit(v):
    """In a list of one, as do_bitfield: so it is not mutated into an offset of 512 MB."""
    args = [v.case(b"SETBIT"), bit_key(v), write_offset(v), bit(v)]
    if v.chance(0.02):
        args = args[:-1] if v.chance(0.5) else args + [b"1"]
    return [args]


def do_getbit(v):
    return [b"GETBIT", bit_key(v), read_offset(v)]


def do_set(v):
    value = bitmap(v) if v.chance(0.8) else v.value()
    return [b"SET", bit_key(v), value] + ([] if v.chance(0.8) else [b"EX", b"%d" % 10**7])


def position(v):
    draw = v.chance_value()
    if draw < 0.5:
        return b"%d" % v.random.randint(-12, 70)
    if draw < 0.75:
        return b"%d" % v.random.randint(-9000, 9000)
    return v.integer()


def unit(v):
    if v.chance(0.03):
        return v.choice((b"", b"BITS", b"x", b"1"))
    return v.case(v.choice((b"BYTE", b"BIT", b"BIT")))


def do_bitcount(v):
    args = [b"BITCOUNT", bit_key(v)]
    if v.chance(0.8):
        args += [position(v), position(v)]
        if v.chance(0.6):
            args.append(unit(v))
    elif v.chance(0.2):
        args.append(position(v))
    return args


def do_bitpos(v):
    args = [b"BITPOS", bit_key(v), bit(v)]
    for draw in (lambda: position(v), lambda: position(v), lambda: unit(v)):
        if v.chance(0.25):
            break
        args.append(draw())
    return args


def do_bitop(v):
    operation = v.case(v.choice((b"AND", b"OR", b"XOR", b"NOT")))
    if v.chance(0.03):
        operation = v.choice((b"", b"NAND", b"ANDOR", b"x"))
    sources = [bit_key(v) for _ in range(v.choice((1, 1, 2, 2, 3, 4, 9)))]
    if operation.upper() == b"NOT" and v.chance(0.9):
        del sources[1:]
    return [b"BITOP", operation, v.choice(sources) if v.chance(0.3) else bit_key(v)] + sources


def field_type(v):
    if v.chance(0.03):
        return v.choice(TYPES_HOSTILE)
    sign = v.choice((b"u", b"i"))
    width = v.choice((1, 2, 5, 8, 8, 16, 31, 32, 33, 62, 63, 64, v.random.randint(1, 64)))
    return sign + b"%d" % (min(width, 63) if sign == b"u" else width)


def field_offset(v, writes):
    draw = v.chance_value()
    if draw < 0.25:
        return b"#%d" % v.random.randint(0, 40)
    if draw < 0.27:
        # Products that wrap, some of them back to small ones.
        return b"#%d" % v.choice((2**58, 2**58 + 1, 2**61, 2**60 + 3, 2**63 - 1, -1, -2**58))
    return write_offset(v) if writes else read_offset(v)


def field_value(v):
    draw = v.chance_value()
    if draw < 0.5:
        return b"%d" % v.random.randint(-300, 300)
    if draw < 0.95:
        near = v.choice((0, 2**63 - 1, -2**63, 2**62, -2**62, 2**31, -2**31, 2**32, 127, 255, -128))
        return b"%d" % min(max(near + v.random.randint(-2, 2), -2**63), 2**63 - 1)
    return v.integer()


def wraps_small(args):
    """Whether a "#" offset may wrap to a huge one that is valid: 512 MB on both servers."""
    for place, word in enumerate(args[:-1]):
        if place and args[place - 1].upper() in (b"SET", b"INCRBY") and word[1:].isdigit():
            offset = args[place + 1]
            if offset.startswith(b"#") and offset[1:].lstrip(b"-").isdigit():
                product = int(offset[1:]) * int(word[1:]) % 2**64
                if 10**6 < product < 2**32:
                    return False
    return True


def do_bitfield(v):
    args = [v.case(b"BITFIELD"), bit_key(v)]
    for _ in range(v.choice((0, 1, 1, 1, 2, 3, 6))):
        draw = v.random.randrange(10)
        if draw < 3:
            args += [v.case(b"OVERFLOW"), v.case(v.choice((b"WRAP", b"SAT", b"FAIL")))
                     if v.chance(0.97) else v.choice((b"", b"x"))]
        if draw < 4:
            args += [v.case(b"GET"), field_type(v), field_offset(v, False)]
        else:
            args += [v.case(v.choice((b"SET", b"INCRBY"))), field_type(v), field_offset(v, True),
                     field_value(v)]
    if v.chance(0.03):
        args.append(v.choice((b"GET", b"OVERFLOW", b"SET", b"u8", b"")))
    return [args] if wraps_small(args) else [args[:2]]


def do_bitfield_ro(v):
    args = [v.choice((b"BITFIELD_RO", b"BITFIELD")), bit_key(v)]
    for _ in range(v.random.randrange(4)):
        args += [v.case(b"GET"), field_type(v), field_offset(v, False)]
    if v.chance(0.05):
        args += v.choice(([b"SET", b"u8", b"0", b"1"], [b"OVERFLOW", b"SAT"], [b"SET", b"u8"],
                          [b"INCRBY", b"u8", b"0", b"x"], [b"GET"]))
    return args


def do_bulk_limit(v):
    """Around the end of what a string may be, with that end nearer."""
    key = bit_key(v)
    end = 8 * int(BULK_SMALL)
    commands = [[b"CONFIG", b"SET", b"proto-max-bulk-len", BULK_SMALL]]
    for _ in range(3):
        offset = b"%d" % (end + v.random.randint(-9, 9))
        commands.append(v.choice((
            [b"SETBIT", key, offset, b"1"], [b"GETBIT", key, offset],
            [b"BITFIELD", key, b"SET", field_type(v), offset, b"-1", b"GET", b"u8", offset],
            [b"BITCOUNT", key], [b"BITPOS", key, b"1"])))
    return commands + [[b"DEL", key], [b"CONFIG", b"SET", b"proto-max-bulk-len", b"536870912"]]


# ---- HyperLogLogs ----

def elements(v):
    draw = v.chance_value()
    if draw < 0.5:
        count = v.random.randint(0, 4)
    elif draw < 0.95:
        count = v.random.randint(5, 60)
    else:
        count = v.random.randint(500, 3000)
    if v.chance(0.1):
        return [v.short_value() for _ in range(min(count, 60))]
    most = v.choice((50, 1000, 10**6, 10**15))
    return [b"%d" % v.random.randint(0, most) for _ in range(count)]


def do_pfadd(v):
    return [b"PFADD", sketch_key(v)] + elements(v)


def do_pfadd_sizes(v):
    """Elements under another limit of sparse ones."""
    key = sketch_key(v)
    return [[b"CONFIG", b"SET", b"hll-sparse-max-bytes", v.choice(SPARSE_SIZES)],
            [b"PFADD", key] + elements(v),
            [b"PFMERGE", key, sketch_key(v), sketch_key(v)] if v.chance(0.3)
            else [b"PFADD", key] + elements(v),
            [b"CONFIG", b"SET", b"hll-sparse-max-bytes", b"3000"],
            [b"PFDEBUG", b"ENCODING", key]]


def do_pfcount(v):
    return [b"PFCOUNT"] + [sketch_key(v) for _ in range(v.choice((1, 1, 1, 2, 3, 5)))]


def do_pfmerge(v):
    return [b"PFMERGE"] + [sketch_key(v) for _ in range(v.choice((1, 2, 2, 3, 5)))]


def do_pfdebug(v):
    word = v.choice((b"DECODE", b"ENCODING", b"DECODE", b"ENCODING", b"TODENSE", b"GETREG", b"x"))
    return [b"PFDEBUG", v.case(word), sketch_key(v)]


def do_sketch_move(v):
    """The bytes as a string: copied, changed, as short as they may be."""
    key = sketch_key(v)
    return v.choice(([b"DEL", key], [b"DEL", key], [b"GET", key], [b"COPY", key, sketch_key(v)],
                     [b"EXPIRE", key, b"%d" % 10**7], [b"RENAME", key, sketch_key(v)],
                     [b"OBJECT", b"ENCODING", key], [b"STRLEN", key], [b"GETRANGE", key, b"0", b"15"],
                     [b"SETRANGE", key, b"%d" % v.random.randint(4, 60), v.short_value()[:2]]))


def runs(v, registers):
    """Opcodes for so many registers."""
    out = bytearray()
    while registers > 0:
        length = min(registers, v.choice((1, 1, 2, 3, 4, 4, 60, 64, 65, 500, 16384)))
        if length <= 4 and v.chance(0.7):
            out.append(0x80 | v.random.randrange(32) << 2 | length - 1)
        elif length <= 64 and v.chance(0.9):
            out.append(length - 1)
        else:
            out += bytes((0x40 | length - 1 >> 8, length - 1 & 0xff))
        registers -= length
    return bytes(out)


def do_set_sketch(v):
    """A HyperLogLog that nobody made by PFADD; sometimes a broken one, for which the end of the round
    is too far away."""
    key = sketch_key(v)
    cached = v.choice((bytes(8), b"\x00" * 7 + b"\x80", b"\x05" + bytes(7)))
    header = b"HYLL\x01\x00\x00\x00" + cached
    draw = v.random.randrange(10)
    if draw < 4:
        return [b"SET", key, header + runs(v, 16384)]
    if draw < 6:
        return [b"SET", key, b"HYLL\x00\x00\x00\x00" + cached + v.random.randbytes(12288)]
    broken = v.choice((
        header, header[:15], b"HYLM" + header[4:] + runs(v, 16384), b"HYLL\x02" + header[5:],
        b"HYLL\x00" + header[5:] + bytes(12287), header + runs(v, v.random.randint(0, 16383)),
        header + runs(v, 16384) + bytes((0x80 | v.random.randrange(128),)),
        header + runs(v, 16384) + b"\x05", header + runs(v, 16390)))
    return [[b"SET", key, broken], do_pfcount(v), [b"PFADD", key] + elements(v)[:5],
            [b"PFCOUNT", key], [b"PFMERGE", sketch_key(v), key], [b"PFCOUNT", key, sketch_key(v)],
            [b"PFDEBUG", v.choice((b"TODENSE", b"DECODE", b"GETREG")), key], [b"GET", key],
            [b"DEL", key]]


FAMILY = [(12, do_setbit), (6, do_getbit), (8, do_set), (10, do_bitcount), (10, do_bitpos),
          (10, do_bitop), (16, do_bitfield), (5, do_bitfield_ro), (0.2, do_bulk_limit),
          (12, do_pfadd), (1, do_pfadd_sizes), (8, do_pfcount), (5, do_pfmerge), (1, do_pfdebug),
          (3, do_sketch_move), (1, do_set_sketch)]
