"""family_geo.py: random commands on geo indexes.

Places come in clouds: around a few cities, along the date line and the poles' edges, on a coarse
grid (so that many share a place and distances are equal), and anywhere. Shapes go from nothing to
beyond the whole earth. Every reply is compared byte for byte, results without ASC or DESC and ties
of distance included: both servers find members in the same order. Stored distances show all digits.
ZADD puts in scores that GEOADD never makes.
"""

from compare import Command
from family_zsets import encoding

CITIES = ((13.361389, 38.115556), (15.087269, 37.502669), (-0.1277, 51.5072), (2.3522, 48.8566),
          (139.6917, 35.6895), (-122.4194, 37.7749), (0.0, 0.0), (179.999, -16.5), (-179.999, -16.5),
          (25.0, 71.0), (-68.3, -54.8), (15.6, 78.2), (0.0, -84.9), (90.0, 84.9))
EDGES_LONGITUDE = (b"180", b"-180", b"179.9999999", b"-179.9999999", b"0", b"-0", b"90", b"-90")
EDGES_LATITUDE = (b"85.05112878", b"-85.05112878", b"85.0511287", b"-85.0511287", b"0", b"-0", b"66",
                  b"-66", b"66.1", b"80", b"80.1", b"-80.1")
BAD_COORDINATES = (b"181", b"-181", b"180.0000001", b"85.06", b"-85.06", b"85.05112879", b"nan", b"inf", b"-inf",
                   b"x", b"", b"1e400", b"1e308", b"-1e308", b" 1", b"1 ", b"0x10", b"1\x00")
UNITS = (b"m", b"km", b"ft", b"mi")
SIZES = (1, 3, 6, 7, 8, 20, 40, 41, 60, 126, 127, 128, 129, 130, 300)
SCORES = (b"0", b"-1", b"1", b"4503599627370495", b"4503599627370496", b"9007199254740992", b"-inf",
          b"inf", b"1e19", b"-1e19", b"18446744073709551615", b"9223372036854775808",
          b"-9223372036854775808", b"3479099956230698", b"1.5", b"-0.5", b"0.25")


def member(v):
    draw = v.chance_value()
    if draw < 0.7:
        return b"m%d" % v.random.randint(0, 60)
    if draw < 0.9:
        return b"%d" % v.random.randint(-5, 30)
    return v.choice((b"", b"x" * 64, b"x" * 65, b"Palermo", b"Catania", b"nobody"))


def number(v, value):
    return v.choice((b"%.*f", b"%.*f", b"%.*f", b"%.*e")) % (v.choice((0, 1, 3, 6, 10, 17)), value)


def valid_place(v):
    draw = v.chance_value()
    if draw < 0.45:
        longitude, latitude = v.choice(CITIES)
        spread = v.choice((0.0001, 0.01, 0.5, 3))
        longitude += v.random.uniform(-spread, spread)
        latitude += v.random.uniform(-spread, spread)
        return [number(v, max(-180.0, min(180.0, longitude))),
                number(v, max(-85.0, min(85.0, latitude)))]
    if draw < 0.65:
        return [b"%d" % v.random.randint(-4, 4), b"%d" % v.random.randint(-4, 4)]
    if draw < 0.8:
        return [v.choice(EDGES_LONGITUDE), v.choice(EDGES_LATITUDE)]
    return [b"%.12f" % v.random.uniform(-180, 180), b"%.12f" % v.random.uniform(-85, 85)]


def place(v):
    if v.chance(0.97):
        return valid_place(v)
    words = valid_place(v)
    words[v.random.randrange(2)] = v.choice(BAD_COORDINATES)
    return words


def unit(v):
    return v.case(v.choice(UNITS)) if v.chance(0.98) else v.choice((b"", b"cm", b"meters", b"k", b"mm"))


def length(v):
    draw = v.chance_value()
    if draw < 0.06:
        return v.choice((b"0", b"-0", b"0.0001", b"1e-300", b"5e-324", b"0.5"))
    if draw < 0.75:
        return number(v, 10 ** v.random.uniform(-1, 8))
    if draw < 0.96:
        return v.choice((b"1", b"10", b"100", b"200", b"500", b"1000", b"5000", b"20000", b"1e6",
                         b"20037726.37", b"1e7", b"1e8", b"1e12", b"1e300", b"inf"))
    return v.choice((b"-1", b"-0.1", b"x", b"", b"nan", b"-inf", b"1e400"))


def scaled(v):
    """A length and a unit that reach from a street to a continent."""
    draw = v.chance_value()
    if draw < 0.5:
        return [number(v, 10 ** v.random.uniform(0, 4)), v.choice((b"km", b"km", b"KM", b"mi"))]
    if draw < 0.6:
        return [number(v, 10 ** v.random.uniform(3, 7)), v.choice((b"m", b"ft"))]
    return [length(v), unit(v)]


def places(v, most=5):
    return [word for _ in range(v.random.randint(1, most)) for word in place(v) + [member(v)]]


def do_geoadd(v):
    args = [v.case(b"GEOADD"), v.key()]
    if v.chance(0.35):
        args += [v.case(v.choice((b"NX", b"XX", b"CH"))) for _ in range(v.choice((1, 1, 2, 3)))]
    return args + places(v)


def do_fill(v):
    key, words = v.key(), []
    grid = v.chance(0.4)
    for i in range(v.choice(SIZES)):
        words += ([b"%d" % v.random.randint(-2, 2), b"%d" % v.random.randint(-2, 2)] if grid
                  else valid_place(v))
        words.append(b"m%d" % i if v.chance(0.7) else b"%d" % i)
    commands = [[b"GEOADD", key] + words]
    if v.chance(0.5):
        commands.insert(0, [b"DEL", key])
    return (commands + [[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]] +
            [do_geosearch(v, key) for _ in range(3)])


def do_look(v):
    members = [member(v) for _ in range(v.random.randint(0, 4))]
    draw = v.random.randrange(3)
    if draw == 0:
        return [b"GEOPOS", v.key()] + members
    if draw == 1:
        return [b"GEOHASH", v.key()] + members
    return ([b"GEODIST", v.key(), member(v), member(v)] +
            v.choice(([], [], [unit(v)], [unit(v)], [unit(v), b"x"])))


def common(v, stores):
    options = []
    if v.chance(0.4):
        options.append([v.case(v.choice((b"ASC", b"DESC")))])
    if v.chance(0.5):
        count = v.choice((b"1", b"2", b"3", b"5", b"10", b"50", b"1000", b"9223372036854775807"))
        if v.chance(0.03):
            count = v.choice((b"0", b"-1", b"x", b"", b"9223372036854775808"))
        options.append([v.case(b"COUNT"), count] + ([v.case(b"ANY")] if v.chance(0.4) else []))
    if v.chance(0.01):
        options.append([v.case(b"ANY")])
    for name in (b"WITHDIST", b"WITHHASH", b"WITHCOORD"):
        if v.chance(0.02 if stores else 0.3):
            options.append([v.case(name)])
    return options


def search_words(v, stores):
    options = common(v, stores)
    draw = v.chance_value()
    if draw < 0.98:
        options.append([v.case(b"FROMMEMBER"), member(v)] if v.chance(0.4)
                       else [v.case(b"FROMLONLAT")] + place(v))
    if draw > 0.97:
        options.append([b"FROMMEMBER", member(v)])
    draw = v.chance_value()
    if draw < 0.98:
        options.append([v.case(b"BYRADIUS")] + scaled(v) if v.chance(0.5)
                       else [v.case(b"BYBOX"), number(v, 10 ** v.random.uniform(0, 4))
                             if v.chance(0.6) else length(v)] + scaled(v))
    if draw > 0.97:
        options.append([b"BYBOX", length(v), length(v), unit(v)])
    if v.chance(0.5 if stores else 0.02):
        options.append([v.case(b"STOREDIST")])
    v.random.shuffle(options)
    return [word for option in options for word in option]


def do_geosearch(v, key=None):
    return [v.case(b"GEOSEARCH"), v.key() if key is None else key] + search_words(v, False)


def read_back(v, target):
    return [[b"ZRANGE", target, b"0", b"-1", b"WITHSCORES"],
            Command([b"OBJECT", b"ENCODING", target], encoding)]


def do_geosearchstore(v):
    target = v.key()
    return ([[v.case(b"GEOSEARCHSTORE"), target, v.key()] + search_words(v, True)] +
            read_back(v, target)[:v.random.randint(0, 2)])


def do_georadius(v):
    by_member = v.chance(0.4)
    is_ro = v.chance(0.3)
    name = b"GEORADIUSBYMEMBER" if by_member else b"GEORADIUS"
    args = [v.case(name + (b"_RO" if is_ro else b"")), v.key()]
    args += ([member(v)] if by_member else place(v)) + scaled(v)
    target = None
    stores = not is_ro and v.chance(0.5)
    options = common(v, stores)
    if stores or v.chance(0.02):
        for _ in range(v.choice((1, 1, 1, 2))):
            target = v.key()
            options.append([v.case(v.choice((b"STORE", b"STOREDIST"))), target])
    v.random.shuffle(options)
    args += [word for option in options for word in option]
    return [args] + (read_back(v, target) if target is not None and v.chance(0.5) else [])


def do_other(v):
    """Other types and times, foreign scores, and what else happens to keys."""
    draw = v.random.randrange(12)
    key = v.key()
    if draw < 1:
        return [b"SET", key, v.value()]
    if draw < 3:
        return [b"DEL", key]
    if draw < 4:
        return [b"PEXPIREAT", key, b"%d" % v.random.randint(3 * 10**12, 10**13)]
    if draw < 5:
        return [b"COPY", key, v.key()] + v.choice(([], [b"REPLACE"]))
    if draw < 6:
        return [b"ZREM", key, member(v), member(v)]
    if draw < 9:
        return [b"ZADD", key, v.choice(SCORES), member(v)]
    if draw < 10:
        return [b"ZINCRBY", key, v.choice((b"1", b"-1", b"1000000", b"4503599627370496")), member(v)]
    return [b"ZSCORE", key, member(v)]


FAMILY = [(6, do_geoadd), (5, do_fill), (8, do_look), (14, do_geosearch), (8, do_geosearchstore),
          (12, do_georadius), (4, do_other)]
