/* text.c -- functions on STRING, and those of the same name on BYTES: length, case, pieces, changes. */
#include "store/tables/duckdb/functions/unicode.h"

#include <string.h>

/* ---- Length and case ---- */

static enum call_outcome length_text(struct call *c)
{
    return out_int(c, (int64_t)unicode_count(arg_text(c, 0)));
}

static enum call_outcome length_bytes(struct call *c)
{
    return out_int(c, (int64_t)arg_text(c, 0).len);
}

static enum call_outcome upper(struct call *c)
{
    unicode_upper(c->duckdb, arg_text(c, 0), &c->text);
    return out_buffer(c);
}

static enum call_outcome lower(struct call *c)
{
    unicode_lower(c->duckdb, arg_text(c, 0), &c->text);
    return out_buffer(c);
}

static enum call_outcome case_bytes(struct call *c, char first, char last)
{
    struct str s = arg_text(c, 0);

    for (size_t i = 0; i < s.len; i++)
        buf_add_char(&c->text, s.p[i] >= first && s.p[i] <= last ? (char)(s.p[i] ^ 32) : s.p[i]);
    return out_buffer(c);
}

static enum call_outcome upper_bytes(struct call *c)
{
    return case_bytes(c, 'a', 'z');
}

static enum call_outcome lower_bytes(struct call *c)
{
    return case_bytes(c, 'A', 'Z');
}

#define INITCAP_DELIMITERS " \t\n\v\f\r[](){}/|<>!?@\"^#$&~_,.:;*%+-"

static bool contains(struct str set, uint32_t character)
{
    for (size_t at = 0; at < set.len;)
        if (unicode_next(set, &at) == character)
            return true;
    return false;
}

static enum call_outcome initcap(struct call *c)
{
    struct str s = arg_text(c, 0), set = STR(INITCAP_DELIMITERS);
    bool first = true;

    if (c->arguments > 1)
        set = arg_text(c, 1);
    for (size_t at = 0; at < s.len;) {
        size_t begin = at;
        bool delimiter = contains(set, unicode_next(s, &at));
        struct str one = str_sub(s, begin, at - begin);
        if (first && !delimiter)
            unicode_upper(c->duckdb, one, &c->text);
        else
            unicode_lower(c->duckdb, one, &c->text);
        first = delimiter;
    }
    return out_buffer(c);
}

/* ---- Pieces ---- */

static enum call_outcome concat(struct call *c)
{
    for (uint32_t i = 0; i < c->arguments; i++)
        buf_add_str(&c->text, arg_text(c, i));
    return out_buffer(c);
}

static size_t at_most(int64_t n, size_t max)
{
    return n < 0 ? 0 : (uint64_t)n > max ? max : (size_t)n;
}

static enum call_outcome substr_of(struct call *c, const struct units *u)
{
    struct str s = arg_text(c, 0);
    int64_t position = arg_int(c, 1), length = c->arguments > 2 ? arg_int(c, 2) : INT64_MAX;
    size_t from = 0;

    if (length < 0)
        return call_refuse(c, "Third argument in SUBSTR() cannot be negative");
    if (position > 0)
        from = at_most(position - 1, s.len);
    if (position < 0) {
        size_t count = u->count(s);
        from = (uint64_t) - (position + 1) >= count ? 0 : count - (size_t)-position;
    }
    size_t begin = u->offset(s, from);
    struct str rest = str_sub(s, begin, s.len);
    return out_text(c, str_sub(rest, 0, u->offset(rest, at_most(length, s.len))));
}

static enum call_outcome substr_text(struct call *c)
{
    return substr_of(c, &units_characters);
}

static enum call_outcome substr_bytes(struct call *c)
{
    return substr_of(c, &units_bytes);
}

static enum call_outcome left_of(struct call *c, const struct units *u)
{
    struct str s = arg_text(c, 0);

    if (arg_int(c, 1) < 0)
        return call_refuse(c, "Second argument in LEFT() cannot be negative");
    return out_text(c, str_sub(s, 0, u->offset(s, at_most(arg_int(c, 1), s.len))));
}

static enum call_outcome right_of(struct call *c, const struct units *u)
{
    struct str s = arg_text(c, 0);
    size_t count = u->count(s), n = at_most(arg_int(c, 1), count);

    if (arg_int(c, 1) < 0)
        return call_refuse(c, "Second argument in RIGHT() cannot be negative");
    return out_text(c, str_sub(s, u->offset(s, count - n), s.len));
}

static enum call_outcome left_text(struct call *c)
{
    return left_of(c, &units_characters);
}

static enum call_outcome left_bytes(struct call *c)
{
    return left_of(c, &units_bytes);
}

static enum call_outcome right_text(struct call *c)
{
    return right_of(c, &units_characters);
}

static enum call_outcome right_bytes(struct call *c)
{
    return right_of(c, &units_bytes);
}

static enum call_outcome pad(struct call *c, const struct units *u, bool left)
{
    struct str s = arg_text(c, 0), with = c->arguments > 2 ? arg_text(c, 2) : STR(" ");
    size_t count = u->count(s), unit = u->count(with);

    if (arg_int(c, 1) < 0)
        return call_refuse(c, "Second argument (output size) for LPAD/RPAD cannot be negative");
    if (!with.len)
        return call_refuse(c, "Third argument (pad pattern) for LPAD/RPAD cannot be empty");
    if ((uint64_t)arg_int(c, 1) > CALL_TEXT_MAX)
        return call_refuse(c, "Second argument (output size) for LPAD/RPAD is too large");
    size_t size = (size_t)arg_int(c, 1), missing = size > count ? size - count : 0;
    if (!left)
        buf_add_str(&c->text, str_sub(s, 0, u->offset(s, size)));
    for (; missing >= unit; missing -= unit)
        buf_add_str(&c->text, with);
    buf_add_str(&c->text, str_sub(with, 0, u->offset(with, missing)));
    if (left)
        buf_add_str(&c->text, str_sub(s, 0, u->offset(s, size)));
    return out_buffer(c);
}

static enum call_outcome lpad_text(struct call *c)
{
    return pad(c, &units_characters, true);
}

static enum call_outcome lpad_bytes(struct call *c)
{
    return pad(c, &units_bytes, true);
}

static enum call_outcome rpad_text(struct call *c)
{
    return pad(c, &units_characters, false);
}

static enum call_outcome rpad_bytes(struct call *c)
{
    return pad(c, &units_bytes, false);
}

static bool trimmed(const struct call *c, uint32_t character)
{
    return c->arguments > 1 ? contains(arg_text(c, 1), character) : unicode_space(character);
}

static enum call_outcome trim_of(struct call *c, bool left, bool right)
{
    struct str s = arg_text(c, 0);
    size_t from = 0, to = 0;
    bool begun = !left;

    for (size_t at = 0; at < s.len;) {
        size_t begin = at;
        bool drop = trimmed(c, unicode_next(s, &at));
        if (!begun && !drop) {
            begun = true;
            from = begin;
        }
        if (!right || !drop)
            to = at;
    }
    return out_text(c, begun && to > from ? str_sub(s, from, to - from) : STR(""));
}

static bool trimmed_byte(struct str set, char byte)
{
    return set.len && memchr(set.p, byte, set.len);
}

static enum call_outcome trim_bytes_of(struct call *c, bool left, bool right)
{
    struct str s = arg_text(c, 0), set = arg_text(c, 1);

    while (left && s.len && trimmed_byte(set, s.p[0]))
        s = str_sub(s, 1, s.len);
    while (right && s.len && trimmed_byte(set, s.p[s.len - 1]))
        s.len--;
    return out_text(c, s);
}

static enum call_outcome trim(struct call *c)
{
    return trim_of(c, true, true);
}

static enum call_outcome ltrim(struct call *c)
{
    return trim_of(c, true, false);
}

static enum call_outcome rtrim(struct call *c)
{
    return trim_of(c, false, true);
}

static enum call_outcome trim_bytes(struct call *c)
{
    return trim_bytes_of(c, true, true);
}

static enum call_outcome ltrim_bytes(struct call *c)
{
    return trim_bytes_of(c, true, false);
}

static enum call_outcome rtrim_bytes(struct call *c)
{
    return trim_bytes_of(c, false, true);
}

/* ---- Changes ---- */

static enum call_outcome replace(struct call *c)
{
    struct str s = arg_text(c, 0), from = arg_text(c, 1), to = arg_text(c, 2);

    if (!from.len)
        return out_text(c, s);
    for (size_t found; (found = str_find(s, from)) != SIZE_MAX;) {
        buf_add_str(&c->text, str_sub(s, 0, found));
        buf_add_str(&c->text, to);
        s = str_sub(s, found + from.len, s.len);
    }
    buf_add_str(&c->text, s);
    return out_buffer(c);
}

/* The text that the engine's own regexp_replace gets: that one has no limits. The result has at most one replacement
 * before, between and after the text's bytes, and groups in it come to no more. */
static enum call_outcome replaceable(struct call *c)
{
    struct str s = arg_text(c, 0), to = arg_text(c, 1);
    size_t most = (s.len + 1) * (to.len + 1);

    if (to.len >= CALL_REPLACED_MAX || s.len >= CALL_REPLACED_MAX || most > CALL_REPLACED_MAX)
        return call_refuse(c,
                           "REGEXP_REPLACE may give over %zu bytes here: shorten the text or "
                           "the replacement",
                           CALL_REPLACED_MAX);
    return call_takes(c, most / 8) ? out_text(c, s) : CALL_ERROR; /* few come near the most */
}

static enum call_outcome reverse_text(struct call *c)
{
    struct str s = arg_text(c, 0);

    for (size_t at = s.len; at > 0;) {
        size_t end = at;
        do
            at--;
        while (at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80);
        buf_add_str(&c->text, str_sub(s, at, end - at));
    }
    return out_buffer(c);
}

static enum call_outcome reverse_bytes(struct call *c)
{
    struct str s = arg_text(c, 0);

    for (size_t at = s.len; at > 0; at--)
        buf_add_char(&c->text, s.p[at - 1]);
    return out_buffer(c);
}

static enum call_outcome repeat(struct call *c)
{
    if (arg_int(c, 1) < 0)
        return call_refuse(c, "Second argument in REPEAT() cannot be negative");
    for (int64_t i = 0; i < arg_int(c, 1) && arg_text(c, 0).len && buf_ok(&c->text); i++)
        buf_add_str(&c->text, arg_text(c, 0));
    return out_buffer(c);
}

static enum call_outcome translate(struct call *c)
{
    struct str s = arg_text(c, 0), from = arg_text(c, 1), to = arg_text(c, 2);

    for (size_t at = 0; at < s.len;) {
        size_t begin = at, k = 0, n = 0;
        uint32_t character = unicode_next(s, &at);
        bool found = false;
        while (k < from.len && !found) {
            found = unicode_next(from, &k) == character;
            n += !found;
        }
        size_t place = found ? unicode_offset(to, n) : 0, end = place;
        if (found && place < to.len)
            (void)unicode_next(to, &end);
        buf_add_str(&c->text,
                    found ? str_sub(to, place, end - place) : str_sub(s, begin, at - begin));
    }
    return out_buffer(c);
}

static enum call_outcome split_characters(struct call *c, const struct units *u)
{
    struct str s = arg_text(c, 0);

    list_begin(c);
    if (!s.len && !list_add_text(c, s))
        return CALL_ERROR;
    while (s.len) {
        size_t n = u->offset(s, 1);
        if (!list_add_text(c, str_sub(s, 0, n)))
            return CALL_ERROR;
        s = str_sub(s, n, s.len);
    }
    return list_end(c);
}

static enum call_outcome split_of(struct call *c, const struct units *u)
{
    struct str s = arg_text(c, 0), by = c->arguments > 1 ? arg_text(c, 1) : STR(",");

    if (!by.len)
        return split_characters(c, u);
    list_begin(c);
    for (size_t found; (found = str_find(s, by)) != SIZE_MAX;) {
        if (!list_add_text(c, str_sub(s, 0, found)))
            return CALL_ERROR;
        s = str_sub(s, found + by.len, s.len);
    }
    return list_add_text(c, s) ? list_end(c) : CALL_ERROR;
}

static enum call_outcome split_text(struct call *c)
{
    return split_of(c, &units_characters);
}

static enum call_outcome split_bytes(struct call *c)
{
    return split_of(c, &units_bytes);
}

// clang-format off
static const struct function rows[] = {
    { "length", "S:I", length_text, 0 }, { "length", "Y:I", length_bytes, 0 },
    { "char_length", "S:I", length_text, 0 },
    { "byte_length", "S:I", length_bytes, 0 }, { "byte_length", "Y:I", length_bytes, 0 },
    { "upper", "S:S", upper, 0 }, { "upper", "Y:Y", upper_bytes, 0 },
    { "lower", "S:S", lower, 0 }, { "lower", "Y:Y", lower_bytes, 0 },
    { "initcap", "S:S", initcap, 0 }, { "initcap", "SS:S", initcap, 0 },
    { "concat", "SS*:S", concat, 0 }, { "concat", "YY*:Y", concat, 0 },
    { "substr", "SI:S", substr_text, 0 }, { "substr", "SII:S", substr_text, 0 }, { "substr", "YI:Y", substr_bytes, 0 },
    { "substr", "YII:Y", substr_bytes, 0 },
    { "left", "SI:S", left_text, 0 }, { "left", "YI:Y", left_bytes, 0 },
    { "right", "SI:S", right_text, 0 }, { "right", "YI:Y", right_bytes, 0 },
    { "lpad", "SI:S", lpad_text, 0 }, { "lpad", "SIS:S", lpad_text, 0 }, { "lpad", "YI:Y", lpad_bytes, 0 },
    { "lpad", "YIY:Y", lpad_bytes, 0 },
    { "rpad", "SI:S", rpad_text, 0 }, { "rpad", "SIS:S", rpad_text, 0 }, { "rpad", "YI:Y", rpad_bytes, 0 },
    { "rpad", "YIY:Y", rpad_bytes, 0 },
    { "trim", "S:S", trim, 0 }, { "trim", "SS:S", trim, 0 }, { "trim", "YY:Y", trim_bytes, 0 },
    { "ltrim", "S:S", ltrim, 0 }, { "ltrim", "SS:S", ltrim, 0 }, { "ltrim", "YY:Y", ltrim_bytes, 0 },
    { "rtrim", "S:S", rtrim, 0 }, { "rtrim", "SS:S", rtrim, 0 }, { "rtrim", "YY:Y", rtrim_bytes, 0 },
    { "replace", "SSS:S", replace, 0 }, { "replace", "YYY:Y", replace, 0 },
    { "replaceable", "SS:S", replaceable, 0 },
    { "reverse", "S:S", reverse_text, 0 }, { "reverse", "Y:Y", reverse_bytes, 0 },
    { "repeat", "SI:S", repeat, 0 }, { "repeat", "YI:Y", repeat, 0 },
    { "translate", "SSS:S", translate, 0 },
    { "split", "S:[S", split_text, 0 }, { "split", "SS:[S", split_text, 0 }, { "split", "YY:[Y", split_bytes, 0 },
};
// clang-format on
const struct function_table functions_text = FUNCTION_TABLE(rows);
