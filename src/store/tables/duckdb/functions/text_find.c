/* text_find.c -- functions on STRING and BYTES that search, count code points, normalize and compare. */
#include "store/tables/duckdb/functions/unicode.h"

/* ---- Search ---- */

static enum call_outcome starts_with(struct call *c)
{
    return out_bool(c, str_starts(arg_text(c, 0), arg_text(c, 1)));
}

static enum call_outcome ends_with(struct call *c)
{
    return out_bool(c, str_ends(arg_text(c, 0), arg_text(c, 1)));
}

static enum call_outcome strpos_of(struct call *c, const struct units *u)
{
    struct str s = arg_text(c, 0);
    size_t found = str_find(s, arg_text(c, 1));

    return out_int(c, found == SIZE_MAX ? 0 : (int64_t)u->count(str_sub(s, 0, found)) + 1);
}

static enum call_outcome strpos_text(struct call *c)
{
    return strpos_of(c, &units_characters);
}

static enum call_outcome strpos_bytes(struct call *c)
{
    return strpos_of(c, &units_bytes);
}

/* From a place of the text on forwards, or backwards from its end; SIZE_MAX: no such occurrence. */
static size_t instr_find(struct str s, struct str what, size_t from, bool backward, int64_t n)
{
    for (size_t at = from;; at += backward ? (size_t)-1 : 1) {
        if (at <= s.len && str_starts(str_sub(s, at, s.len), what) && --n == 0)
            return at;
        if (backward ? at == 0 : at >= s.len)
            return SIZE_MAX;
    }
}

static enum call_outcome instr_of(struct call *c, const struct units *u)
{
    struct str s = arg_text(c, 0);
    int64_t position = c->arguments > 2 ? arg_int(c, 2) : 1;
    int64_t occurrence = c->arguments > 3 ? arg_int(c, 3) : 1;
    size_t count = u->count(s);

    if (position == 0)
        return call_refuse(c, "Position in INSTR() must not be zero");
    if (occurrence <= 0)
        return call_refuse(c, "Occurrence in INSTR() must be positive");
    bool backward = position < 0;
    uint64_t steps = backward ? (uint64_t) - (position + 1) + 1 : (uint64_t)position;
    if (steps > count)
        return out_int(c, 0);
    size_t from = u->offset(s, backward ? count - (size_t)steps : (size_t)steps - 1);
    size_t found = instr_find(s, arg_text(c, 1), from, backward, occurrence);
    return out_int(c, found == SIZE_MAX ? 0 : (int64_t)u->count(str_sub(s, 0, found)) + 1);
}

static enum call_outcome instr_text(struct call *c)
{
    return instr_of(c, &units_characters);
}

static enum call_outcome instr_bytes(struct call *c)
{
    return instr_of(c, &units_bytes);
}

static struct str folded(struct call *c, struct str s)
{
    struct buf b = BUF_INIT(CALL_TEXT_MAX);

    if (!unicode_map(c->duckdb, s, UNICODE_NFKC, true, &b))
        unicode_lower(c->duckdb, s, &b);
    struct str copy = { arena_copy(&c->arena, b.p ? b.p : "", b.len), b.len };
    buf_release(&b);
    return copy;
}

static enum call_outcome contains_substr(struct call *c)
{
    if (!arg_text(c, 1).len)
        return call_refuse(c, "Second argument in CONTAINS_SUBSTR() cannot be empty");
    return out_bool(c, str_find(folded(c, arg_text(c, 0)), folded(c, arg_text(c, 1))) != SIZE_MAX);
}

/* ---- Characters and their numbers ---- */

static enum call_outcome ascii(struct call *c)
{
    struct str s = arg_text(c, 0);

    if (s.len && (unsigned char)s.p[0] >= 0x80)
        return call_refuse(c, "First char of ASCII() argument is not ASCII");
    return out_int(c, s.len ? s.p[0] : 0);
}

static enum call_outcome unicode(struct call *c)
{
    size_t at = 0;

    return out_int(c, arg_text(c, 0).len ? unicode_next(arg_text(c, 0), &at) : 0);
}

static enum call_outcome chr(struct call *c)
{
    int64_t v = arg_int(c, 0);

    if (v < 0 || v > UNICODE_MAX || (v && !unicode_add(&c->text, (uint32_t)v)))
        return call_refuse(c, "Invalid codepoint %lld", (long long)v);
    return out_buffer(c);
}

static enum call_outcome code_points_to_string(struct call *c)
{
    struct call_list l = arg_list(c, 0);

    for (idx_t i = l.at; i < l.at + l.count; i++) {
        if (!column_valid(&l.column, i))
            return CALL_NULL;
        int64_t v = ((const int64_t *)l.column.data)[i];
        if (v < 0 || v > UNICODE_MAX || !unicode_add(&c->text, (uint32_t)v))
            return call_refuse(c, "Invalid codepoint %lld", (long long)v);
    }
    return out_buffer(c);
}

static enum call_outcome code_points_to_bytes(struct call *c)
{
    struct call_list l = arg_list(c, 0);

    for (idx_t i = l.at; i < l.at + l.count; i++) {
        if (!column_valid(&l.column, i))
            return CALL_NULL;
        int64_t v = ((const int64_t *)l.column.data)[i];
        if (v < 0 || v > 255)
            return call_refuse(c, "Invalid extended ASCII code points %lld", (long long)v);
        buf_add_char(&c->text, (char)(unsigned char)v);
    }
    return out_buffer(c);
}

static enum call_outcome to_code_points(struct call *c)
{
    struct str s = arg_text(c, 0);

    list_begin(c);
    for (size_t at = 0; at < s.len;)
        if (!list_add_int(c, unicode_next(s, &at)))
            return CALL_ERROR;
    return list_end(c);
}

static enum call_outcome to_byte_values(struct call *c)
{
    struct str s = arg_text(c, 0);

    list_begin(c);
    for (size_t at = 0; at < s.len; at++)
        if (!list_add_int(c, (unsigned char)s.p[at]))
            return CALL_ERROR;
    return list_end(c);
}

/* ---- Normal forms, likeness ---- */

static bool form_of(struct str name, enum unicode_form *out)
{
    static const char *const names[] = { [UNICODE_NFC] = "NFC",
                                         [UNICODE_NFKC] = "NFKC",
                                         [UNICODE_NFD] = "NFD",
                                         [UNICODE_NFKD] = "NFKD" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_c(name, names[i])) {
            *out = (enum unicode_form)i;
            return true;
        }
    return false;
}

static enum call_outcome normal_form(struct call *c, bool fold)
{
    enum unicode_form form;

    if (!form_of(arg_text(c, 1), &form))
        return call_refuse(c, "Invalid normalize mode: %.*s", STR_ARG(arg_text(c, 1)));
    if (!unicode_map(c->duckdb, arg_text(c, 0), form, fold, &c->text))
        return call_refuse(c, "NORMALIZE is not supported with this library of DuckDB");
    return out_buffer(c);
}

static enum call_outcome normalize(struct call *c)
{
    return normal_form(c, false);
}

static enum call_outcome normalize_and_casefold(struct call *c)
{
    return normal_form(c, true);
}

/* A digit for each letter of ASCII: 0 a vowel, 9 H and W, which do not part equal digits. */
static int soundex_digit(uint32_t character)
{
    static const char digits[] = "01230129022455012623019202";

    if (character >= 'a' && character <= 'z')
        character -= 32;
    return character >= 'A' && character <= 'Z' ? digits[character - 'A'] - '0' : -1;
}

static enum call_outcome soundex(struct call *c)
{
    struct str s = arg_text(c, 0);
    int last = -1;

    for (size_t at = 0; at < s.len && c->text.len < 4;) {
        uint32_t character = unicode_next(s, &at);
        int digit = soundex_digit(character);
        if (digit < 0)
            continue;
        if (!c->text.len)
            buf_add_char(&c->text, (char)(character & ~32U));
        else if (digit >= 1 && digit <= 6 && digit != last)
            buf_add_char(&c->text, (char)('0' + digit));
        if (digit != 9)
            last = digit;
    }
    while (c->text.len && c->text.len < 4)
        buf_add_char(&c->text, '0');
    return out_buffer(c);
}

#define EDIT_CHARACTERS_MAX 10000

/* The distance of Levenshtein, with one row of the matrix. */
static enum call_outcome edit_distance(struct call *c)
{
    struct str a = arg_text(c, 0), b = arg_text(c, 1);
    size_t n = unicode_count(b);

    if (n > EDIT_CHARACTERS_MAX || unicode_count(a) > EDIT_CHARACTERS_MAX)
        return call_refuse(c, "EDIT_DISTANCE() takes at most %d characters", EDIT_CHARACTERS_MAX);
    int64_t *row = arena_array(&c->arena, n + 1, sizeof *row);
    for (size_t i = 0; i <= n; i++)
        row[i] = (int64_t)i;
    for (size_t at = 0; at < a.len;) {
        uint32_t x = unicode_next(a, &at);
        int64_t corner = row[0]++;
        for (size_t k = 0, i = 1; k < b.len; i++) {
            int64_t change = corner + (unicode_next(b, &k) != x), least = row[i] + 1;
            corner = row[i];
            if (row[i - 1] + 1 < least)
                least = row[i - 1] + 1;
            row[i] = change < least ? change : least;
        }
    }
    int64_t max = c->arguments > 2 ? arg_int(c, 2) : INT64_MAX;
    return out_int(c, row[n] < max ? row[n] : max);
}

// clang-format off
static const struct function rows[] = {
    { "starts_with", "SS:B", starts_with, 0 }, { "starts_with", "YY:B", starts_with, 0 },
    { "ends_with", "SS:B", ends_with, 0 }, { "ends_with", "YY:B", ends_with, 0 },
    { "strpos", "SS:I", strpos_text, 0 }, { "strpos", "YY:I", strpos_bytes, 0 },
    { "instr", "SS:I", instr_text, 0 }, { "instr", "SSI:I", instr_text, 0 }, { "instr", "SSII:I", instr_text, 0 },
    { "instr", "YY:I", instr_bytes, 0 }, { "instr", "YYI:I", instr_bytes, 0 }, { "instr", "YYII:I", instr_bytes, 0 },
    { "contains_substr", "SS:B", contains_substr, 0 },
    { "ascii", "S:I", ascii, 0 },
    { "unicode", "S:I", unicode, 0 },
    { "chr", "I:S", chr, 0 },
    { "code_points_to_string", "[I:S", code_points_to_string, 0 },
    { "code_points_to_bytes", "[I:Y", code_points_to_bytes, 0 },
    { "to_code_points", "S:[I", to_code_points, 0 }, { "to_code_points", "Y:[I", to_byte_values, 0 },
    { "normalize", "SS:S", normalize, 0 },
    { "normalize_and_casefold", "SS:S", normalize_and_casefold, 0 },
    { "soundex", "S:S", soundex, 0 },
    { "edit_distance", "SS:I", edit_distance, 0 }, { "edit_distance", "SSI:I", edit_distance, 0 },
};
// clang-format on
const struct function_table functions_text_find = FUNCTION_TABLE(rows);
