"""Schemas that try to take time or memory: a name and a schema each."""


def chain(count, link):
    """$defs d0 .. dN, each made by link from the next one's reference."""
    defs = {f"d{i}": link({"$ref": f"#/$defs/d{i + 1}"}) for i in range(count)}
    defs[f"d{count}"] = {"type": "integer"}
    return {"$ref": "#/$defs/d0", "$defs": defs}


def nested(depth, wrap, inner=None):
    schema = inner if inner is not None else {"type": "integer"}
    for _ in range(depth):
        schema = wrap(schema)
    return schema


def text(pattern, **more):
    return {"type": "string", "pattern": pattern, **more}


def numbered(count, **value):
    return {f"p{i}": dict(value) for i in range(count)}


def references():
    doubles = {
        "anyOf": lambda n: {"anyOf": [n, n]},
        "oneOf": lambda n: {"oneOf": [n, {"type": "object", "properties": {"x": n}}]},
        "allOf": lambda n: {"allOf": [n, n]},
        "object": lambda n: {"type": "object", "properties": {"a": n, "b": n},
                             "required": ["a", "b"]},
        "prefix": lambda n: {"type": "array", "prefixItems": [n, n], "minItems": 2},
        "any object": lambda n: {"anyOf": [{"type": "object", "properties": {"a": n},
                                            "required": ["a"]}, n]},
        "array": lambda n: {"type": "array", "items": {"anyOf": [n, n]}},
    }
    for name, link in doubles.items():
        for count in (10, 40, 90):
            yield f"{count} definitions that double by {name}", chain(count, link)
    yield "a reference to itself", {"$ref": "#"}
    yield "two that lead to each other", {
        "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    yield "allOf of itself", {"allOf": [{"$ref": "#"}]}
    yield "anyOf of itself", {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}
    yield "anyOf of itself and an end", {"anyOf": [{"$ref": "#"}, {"const": 1}]}
    yield "an object without an end", {"type": "object", "properties": {"a": {"$ref": "#"}},
                                       "required": ["a"]}
    yield "an array without an end", {"type": "array", "items": {"$ref": "#"}, "minItems": 1}
    yield "an array of 1000 arrays like it", {"type": "array", "items": {"$ref": "#"},
                                              "minItems": 1000}
    yield "a tree of 50 names", {"type": "object", "properties": {
        f"p{i}": {"$ref": "#"} for i in range(50)}}
    yield "a tree of anyOf", {"anyOf": [{"type": "array", "items": {"$ref": "#"}},
                                        {"type": "object", "additionalProperties": {"$ref": "#"}}]}
    yield "5000 references to one", {"type": "object", "$defs": {"a": {"type": "string"}},
                                     "properties": {f"p{i}": {"$ref": "#/$defs/a"}
                                                    for i in range(1000)}}
    yield "references into everything", {"anyOf": [
        {"$ref": f"#/$defs/d/properties/p{i}"} for i in range(500)],
        "$defs": {"d": {"properties": numbered(500, type="integer")}}}


def alternatives():
    for count in (10, 300, 3000):
        yield f"anyOf of {count} equal", {"anyOf": [{"type": "integer"}] * count}
        yield f"anyOf of {count} consts", {"anyOf": [{"const": f"v{i}"} for i in range(count)]}
        yield f"anyOf of {count} objects", {"anyOf": [
            {"type": "object", "properties": {"k": {"const": i}, "v": {"type": "string"}},
             "required": ["k", "v"]} for i in range(count)]}
        yield f"oneOf of {count} objects", {"oneOf": [
            {"type": "object", "properties": {"k": {"const": i}}, "required": ["k"]}
            for i in range(count)]}
    for count in (5, 12, 20, 40):
        pair = [{"anyOf": [{"type": "object", "properties": {f"a{i}": {"type": "integer"}}},
                           {"type": "object", "properties": {f"b{i}": {"type": "integer"}}}]}
                for i in range(count)]
        yield f"allOf of {count} choices", {"allOf": pair}
    yield "allOf of 12 choices of 12", {"allOf": [
        {"anyOf": [{"type": "array", "maxItems": 12 * i + k} for k in range(12)]}
        for i in range(12)]}
    yield "anyOf 100 deep", nested(100, lambda s: {"anyOf": [s, {"type": "null"}]})
    yield "allOf 100 deep", nested(100, lambda s: {"allOf": [s]})
    yield "allOf of 3000", {"allOf": [{"minLength": i % 7} for i in range(3000)]}
    yield "objects 60 deep", nested(60, lambda s: {"type": "object", "properties": {"a": s}})
    yield "arrays 60 deep", nested(60, lambda s: {"type": "array", "items": s})
    yield "not 100 deep", nested(100, lambda s: {"not": s})
    yield "oneOf that cannot be told apart", {"oneOf": [{"minLength": i} for i in range(100)]}
    yield "oneOf of deep objects", {"oneOf": [
        nested(20, lambda s: {"type": "object", "properties": {"a": s}, "required": ["a"]},
               {"const": i}) for i in range(50)]}
    yield "oneOf of anyOf of anyOf", {"oneOf": [
        nested(3, lambda s: {"anyOf": [s] * 20}, {"const": i}) for i in range(2)]}


def values():
    for count in (1000, 5000, 5001):
        yield f"an enum of {count}", {"enum": [f"value number {i}" for i in range(count)]}
    yield "an enum of numbers", {"enum": list(range(5000))}
    yield "an enum of prefixes", {"enum": ["a" * i for i in range(1, 600)]}
    yield "an enum of long texts", {"enum": [f"{i} " + "lorem ipsum " * 40 for i in range(400)]}
    yield "an enum of objects", {"enum": [{"a": i, "b": [i] * 20} for i in range(1000)]}
    yield "an enum of enums", {"allOf": [{"enum": list(range(5000))},
                                         {"enum": list(range(4999, 9999))}]}
    yield "an enum of one half of another", {"allOf": [{"enum": list(range(2000))},
                                                       {"enum": list(range(1000, 3000))}]}
    yield "a const of 200 KB", {"const": "x" * 200_000}
    yield "a const of 60 levels", {"const": nested(60, lambda s: [s], 1)}
    yield "a const of 20000 numbers", {"const": list(range(20000))}
    yield "5000 different consts", {"type": "object", "properties": {
        f"p{i}": {"enum": [f"{i}-{k}" for k in range(5)]} for i in range(1000)}}
    yield "an enum that a pattern excludes", {"enum": ["a" * 200] * 1, "pattern": "^(a+)+b$"}
    yield "an enum of 3000 beside a bad pattern", {
        "enum": [f"{'a' * 30}{i}" for i in range(3000)], "pattern": "^(a+)+$"}


def texts():
    for pattern in ("^(a?){300}b$", "((a?){300}){300}", "^(a+)+$", "^(a|a)*b$", "^(a|aa)+$",
                    "^(.*a){20}$", "^(.*a){12}b$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$",
                    r"^\p{L}{0,1000}$", r"^\p{Lu}\p{L}{0,50}( \p{L}{1,50}){0,10}$",
                    r"^[\p{L}\p{N}]{1,900}$", r"^(\p{L}|\p{N}|a){200}$", "^[^a]{1000}$",
                    "^a{1000}$", "^a{1001}$", "^(a{10}){100}$", "^(a{100}){100}$",
                    "^a{2,1}$", "^(a|b|c|d|e|f|g|h){500}$", "^(ab?c?d?e?f?g?){100}$",
                    "^((((((((((a?){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}$",
                    "a.*b.*c.*d.*e.*f.*g.*h", "^(x.{0,50}y){10}$", ".{0,200}end$",
                    "^.*(.)(.)(.).*$", r"^(\w+\s?)*$", r"^(\d+|\w+|\s+|.)+$",
                    "^[a-z]{1,300}[0-9]{1,300}[a-z]{1,300}$", "^(?=a)b$", r"^(a)\1$", "^(?<!a)b$",
                    "(" * 64 + "a" + ")" * 64, "(" * 65 + "a" + ")" * 65, "(" * 400, "[" * 500,
                    "|".join(f"w{i}" for i in range(200)), "|".join(["a*"] * 400),
                    "^(" + "|".join(f"{i}a*" for i in range(100)) + ")*$",
                    "^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\\.[a-zA-Z]{2,}$",
                    ".{1000}a", "(.|\n){999}", "^(a{0,30}b{0,30}){15}$", "^((a|b)*a(a|b){12})$",
                    "^(a|b)*a(a|b){18}$", "^(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)$",
                    r"^[\u0000-\uFFFF]{500}$", r"\x00*", "^$", "$^", "a^", "", "x" * 1000,
                    "x" * 1001):
        yield f"pattern {pattern[:40]!r} of {len(pattern)}", text(pattern)
    primes = ["a" * n for n in (7, 11, 13, 17, 19, 23)]
    for count in range(2, 7):
        yield f"{count} lengths at once", {"allOf": [text(f"^({p})+b$") for p in primes[:count]]}
        yield f"{count} lengths behind a choice", {"allOf": [
            text(f"^zzzzzzzzz(x|y({p})+b)$") for p in primes[:count]]}
        yield f"{count} lengths behind any text", {"allOf": [
            text(f"^[a-z]*(x|({p})+b)$") for p in primes[:count]]}
    for low, high in ((0, 10_000), (10_000, 10_000), (1_000_000, 1_000_000), (0, 1_000_001),
                      (1_000_001, None), (300_000, 900_000), (5000, None)):
        bounds = {"minLength": low}
        if high is not None:
            bounds["maxLength"] = high
        yield f"a text of {low} to {high}", {"type": "string", **bounds}
    yield "a pattern and a length", text("^[a-z ]*$", minLength=1000, maxLength=2000)
    yield "a pattern and a far length", text("(ab|cd)*", minLength=500_000)
    yield "a pattern that excludes its length", text("^a{3}$", minLength=4)
    yield "five patterns at once", {"type": "string", "allOf": [
        {"pattern": f"{c}.*{c}"} for c in "abcde"]}
    yield "twelve patterns at once", {"type": "string", "allOf": [
        {"pattern": f"{c}.{{0,30}}{c}"} for c in "abcdefghijkl"]}
    yield "200 properties with patterns", {"type": "object", "properties": {
        f"p{i}": text(f"^[a-z]{{1,{i + 1}}}$") for i in range(200)}}
    yield "600 patterns", {"type": "object", "properties": {
        f"p{i}": text(f"^{i}[a-z]*$") for i in range(600)}}
    yield "600 patterns that are too much together", {"type": "object", "properties": {
        f"p{i}": text(f"^[a-z]{{{i + 300}}}$") for i in range(600)}}
    yield "900 patterns", {"type": "object", "properties": {
        f"p{i}": text(f"^{i}[a-z]*$") for i in range(900)}}
    for name in ("email", "uri", "date-time", "uri-template", "idn-email"):
        yield f"format {name} and a length", {"type": "string", "format": name, "maxLength": 40}
        yield f"an array of {name}", {"type": "array", "items": {"type": "string", "format": name}}


def arrays():
    for least, most in ((0, 10_000), (1_000_000, 1_000_000), (0, 1_000_000), (5, 2), (10_000, None),
                        (1_000_001, None)):
        bounds = {"minItems": least}
        if most is not None:
            bounds["maxItems"] = most
        yield f"an array of {least} to {most}", {"type": "array", "items": {"type": "integer"},
                                                 **bounds}
    for depth in (2, 5, 20):
        yield f"{depth} arrays of a million", nested(
            depth, lambda s: {"type": "array", "items": s, "maxItems": 1_000_000})
        yield f"{depth} arrays of a million at least", nested(
            depth, lambda s: {"type": "array", "items": s, "minItems": 1_000_000})
        yield f"{depth} arrays of 100 at least", nested(
            depth, lambda s: {"type": "array", "items": s, "minItems": 100})
    yield "1000 first elements", {"type": "array", "prefixItems": [
        {"const": i} for i in range(1000)], "minItems": 500}
    yield "unique items of a million", {"type": "array", "uniqueItems": True, "minItems": 1_000_000}
    yield "an array of anything", {"type": "array", "maxItems": 1_000_000}
    yield "contains", {"contains": {"minimum": 1}, "minContains": 1_000_000}


def objects():
    yield "1000 properties", {"type": "object", "properties": numbered(1000, type="integer")}
    yield "1001 properties", {"type": "object", "properties": numbered(1001, type="integer")}
    for least, most in ((500, 500), (1, 1000), (999, 1000), (0, 3), (300, 700), (100, 100)):
        yield f"1000 properties, {least} to {most}", {
            "type": "object", "properties": numbered(1000, type="integer"),
            "minProperties": least, "maxProperties": most}
        yield f"100 properties, {least // 10} to {most // 10}", {
            "type": "object", "properties": numbered(100, type="integer"),
            "minProperties": least // 10, "maxProperties": most // 10}
    yield "1000 required", {"type": "object", "properties": numbered(1000, type="boolean"),
                            "required": list(numbered(1000))}
    yield "1000 names and others", {"type": "object", "properties": numbered(1000, type="integer"),
                                    "additionalProperties": {"type": "string"}}
    yield "1000 required that nobody declares", {"type": "object",
                                                 "required": [f"n{i}" for i in range(1000)]}
    yield "a million properties", {"type": "object", "minProperties": 1_000_000}
    yield "four overlapping patterns", {"type": "object", "patternProperties": {
        "a": {"type": "integer"}, "b": {"minimum": 3}, "c": {"maximum": 7}, "d": {}}}
    yield "five overlapping patterns", {"type": "object", "patternProperties": {
        c: {"type": "integer"} for c in "abcde"}}
    yield "two patterns without a common value", {"type": "object", "patternProperties": {
        "a": {"type": "integer"}, "b": {"type": "string"}}, "minProperties": 2}
    yield "a catastrophic pattern of names", {"type": "object", "patternProperties": {
        "^(a+)+$": {"type": "integer"}}, "additionalProperties": False}
    yield "a long pattern of names", {"type": "object", "patternProperties": {
        "^(.*a){20}$": {"type": "integer"}, "^.{500}$": {"type": "string"}}}
    for count in (2, 4):
        yield f"names of {count} lengths at once", {"type": "object", "allOf": [
            {"patternProperties": {f"^x*({'a' * n})+b$": {"type": "integer"}},
             "additionalProperties": False} for n in (7, 11, 13, 17)[:count]], "minProperties": 1}
    yield "names of letters that are used up", {"type": "object", "patternProperties": {
        "^[a-k]x{30}[0-9]$": {"const": 1}}, "additionalProperties": False, "minProperties": 90}
    yield "names that a costly pattern shares", {"type": "object", "patternProperties": {
        "^(.*a){12}": {"const": 1}}, "additionalProperties": False, "minProperties": 50}
    yield "3000 patterns of names that have a hundred", {"type": "array", "prefixItems": [
        {"type": "object", "patternProperties": {f"^{i}(|x){{99}}$": {"type": "integer"}}}
        for i in range(3000)]}
    yield "names that begin alike", {"type": "object", "patternProperties": {
        "^(a|b){1,20}$": {"type": "integer"}}, "additionalProperties": False, "minProperties": 90}
    yield "1000 names and a pattern", {"type": "object",
                                       "properties": numbered(1000, type="integer"),
                                       "patternProperties": {"^p[0-9]*$": {"minimum": 3}}}
    yield "names of 1 KB", {"type": "object", "properties": {
        "n" * 1000 + str(i): {"type": "integer"} for i in range(200)}}
    yield "names that need escapes", {"type": "object", "properties": {
        "\"\\\n\x01" * 50 + str(i): {"type": "integer"} for i in range(200)}}
    yield "allOf of 30 objects of 30", {"allOf": [
        {"type": "object", "properties": {f"p{i}_{k}": {"type": "integer"} for k in range(30)}}
        for i in range(30)]}
    yield "allOf of 100 that meet in one name", {"allOf": [
        {"type": "object", "properties": {"a": {"anyOf": [{"minimum": i}, {"type": "string"}]}}}
        for i in range(100)]}


def numbers():
    for value in (9223372036854775807, -9223372036854775808, 18446744073709551615, 2 ** 53,
                  2 ** 53 + 1, 10 ** 300, -10 ** 300):
        for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            yield f"integer {keyword} {value}", {"type": "integer", keyword: value}
    for of in (1e-300, 1e300, 0.1, 1e-15, 1999, 2001, 7919, 123456789, 0.123456789, 3.0000001):
        yield f"multiples of {of}", {"type": "number", "multipleOf": of}
        yield f"multiples of {of} within bounds", {"type": "number", "multipleOf": of,
                                                   "minimum": 1, "maximum": 1e9}
    yield "many multiples", {"allOf": [{"multipleOf": p} for p in (2, 3, 5, 7, 11, 13, 17, 19)]}
    yield "nine multiples", {"allOf": [{"multipleOf": p} for p in range(2, 11)]}
    yield "multiples that no regular expression counts", {"allOf": [{"multipleOf": 1009},
                                                                    {"multipleOf": 1013}]}
    yield "multiples of a common one of 1980", {"type": "number", "minimum": 0.1, "maximum": 1e12,
                                                "allOf": [{"multipleOf": p} for p in (4, 9, 55)]}
    yield "multiples of many decimals", {"type": "number", "multipleOf": 0.0000001999}
    yield "25 multiples of 2000", {"type": "object", "properties": {
        f"p{i}": {"type": "number", "multipleOf": 0.02, "minimum": i, "maximum": 1e9 + i}
        if i % 2 else {"type": "integer", "multipleOf": 1975 + i, "minimum": -i}
        for i in range(50)}}
    yield "900 different multiples", {"type": "object", "properties": {
        f"p{i}": {"type": "integer", "multipleOf": 1000 + i} for i in range(900)}}
    yield "allOf of 3000 multiples", {"allOf": [{"multipleOf": i} for i in range(1, 3001)]}
    yield "a narrow range", {"type": "number", "minimum": 0.1234567891, "maximum": 0.1234567892}
    yield "tiny bounds", {"type": "number", "minimum": 1e-300, "maximum": 2e-300}
    yield "600 ranges", {"type": "object", "properties": {
        f"p{i}": {"type": "number", "minimum": i / 7, "maximum": i * 1001 / 3 + 1}
        for i in range(600)}}
    yield "1000 ranges", {"type": "object", "properties": {
        f"p{i}": {"type": "number", "minimum": i / 7, "maximum": i * 1001 / 3}
        for i in range(1000)}}
    yield "1000 ranges of integers", {"type": "object", "properties": {
        f"p{i}": {"type": "integer", "minimum": i * 7, "maximum": i * 100_103}
        for i in range(1000)}}


def all_attacks():
    for group in (references, alternatives, values, texts, arrays, objects, numbers):
        yield from group()
