/* grammar_scalar.c -- numbers and strings as regular expressions. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "format/schema/grammar.h"

/* Integers without bounds lie within; it is exact as a double, and 64 bits hold it. */
#define INTEGER_MAX 1000000000000000000LL
#define INTEGER_DIGITS 19

#define DECIMAL_PLACES_MAX 15
#define EXACT_MAX 9007199254740992.0 /* 2^53: a double holds the whole numbers to it */

/* One character of a JSON string: raw, or one of the short escapes. */
#define STRING_CHAR "([^\"\\\\\\x00-\\x1F\\x7F]|\\\\[\"\\\\bfnrt])"

/* Every such number is a finite double: 18 digits, or one digit with an exponent up to 307. */
#define ANY_NUMBER                                                                                 \
    "/-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?/ | "                                                 \
    "/-?[1-9](\\.[0-9]{1,16})?[eE][+-]?([0-9]|[1-9][0-9]|[12][0-9]{2}|30[0-7])/"

/* ---- Integers between two bounds ---- */

static void any_digits(struct buf *out, size_t count)
{
    if (count == 1)
        buf_add_c(out, "[0-9]");
    else if (count)
        buf_addf(out, "[0-9]{%zu}", count);
}

static void digit_range(struct buf *out, char lo, char hi)
{
    if (lo == hi)
        buf_add_char(out, lo);
    else
        buf_addf(out, "[%c-%c]", lo, hi);
}

static bool all_are(const char *digits, size_t count, char c)
{
    for (size_t i = 0; i < count; i++)
        if (digits[i] != c)
            return false;
    return true;
}

/* Strings of count digits that are at least (or at most) these digits. */
static void from_digits(struct buf *out, const char *digits, size_t count, bool at_least)
{
    char end = at_least ? '9' : '0';

    if (count == 0 || all_are(digits, count, at_least ? '0' : '9')) {
        any_digits(out, count);
        return;
    }
    buf_addf(out, "(%c", digits[0]);
    from_digits(out, digits + 1, count - 1, at_least);
    if (digits[0] != end) {
        buf_add_char(out, '|');
        if (at_least)
            digit_range(out, (char)(digits[0] + 1), '9');
        else
            digit_range(out, '0', (char)(digits[0] - 1));
        any_digits(out, count - 1);
    }
    buf_add_char(out, ')');
}

/* Strings of count digits from lo to hi. */
static void between_digits(struct buf *out, const char *lo, const char *hi, size_t count)
{
    size_t same = 0;

    while (same < count && lo[same] == hi[same])
        buf_add_char(out, lo[same++]);
    if (same == count)
        return;
    size_t rest = count - same - 1;
    buf_addf(out, "(%c", lo[same]);
    from_digits(out, lo + same + 1, rest, true);
    if (lo[same] + 1 < hi[same]) {
        buf_add_char(out, '|');
        digit_range(out, (char)(lo[same] + 1), (char)(hi[same] - 1));
        any_digits(out, rest);
    }
    buf_addf(out, "|%c", hi[same]);
    from_digits(out, hi + same + 1, rest, false);
    buf_add_char(out, ')');
}

/* Whole numbers from lo to hi, 0 <= lo <= hi, without leading zeros. */
static void between_numbers(struct buf *out, int64_t lo, int64_t hi)
{
    char low[INTEGER_DIGITS + 2], high[INTEGER_DIGITS + 2], edge[INTEGER_DIGITS + 2];
    size_t from = (size_t)snprintf(low, sizeof low, "%lld", (long long)lo);
    size_t to = (size_t)snprintf(high, sizeof high, "%lld", (long long)hi);

    buf_add_char(out, '(');
    for (size_t len = from; len <= to; len++) {
        const char *least = low, *most = high;
        char first[INTEGER_DIGITS + 2];
        memset(first, '0', sizeof first);
        first[0] = '1';
        memset(edge, '9', sizeof edge);
        if (len > from)
            least = first;
        if (len < to)
            most = edge;
        buf_add_c(out, len > from ? "|" : "");
        between_digits(out, least, most, len);
    }
    buf_add_char(out, ')');
}

static void integer_regex(struct buf *out, int64_t lo, int64_t hi)
{
    buf_add_char(out, '/');
    if (lo < 0) {
        buf_add_c(out, hi < 0 ? "-" : "(-");
        between_numbers(out, hi < 0 ? -hi : 1, -lo);
        if (hi >= 0)
            buf_add_char(out, '|');
    }
    if (hi >= 0)
        between_numbers(out, lo > 0 ? lo : 0, hi);
    buf_add_c(out, lo < 0 && hi >= 0 ? ")/" : "/");
}

/* ---- Multiples ---- */

/* digits / 10^places: 0.025 is 25 over 10^3. Without digits: none. */
struct decimal {
    double digits;
    int places;
};

/* False when the number has more places than a decimal may have. */
static bool decimal_of(double v, struct decimal *out)
{
    double digits = v;
    int places = 0;

    for (; places < DECIMAL_PLACES_MAX && fabs(digits - nearbyint(digits)) > digits * 1e-12;
         places++)
        digits *= 10;
    *out = (struct decimal){ nearbyint(digits), places };
    return out->digits > 0 && fabs(digits - nearbyint(digits)) <= digits * 1e-12;
}

static double decimal_value(const struct decimal *d)
{
    return d->digits / pow(10, d->places);
}

/* llguidance finds the digits by multiplying by ten until no fraction is left, which rounds on the way. */
static bool library_reads(const struct decimal *d)
{
    double v = decimal_value(d);

    for (int places = 0; places < d->places; places++)
        v *= 10;
    return v >= d->digits && v <= d->digits;
}

static double common_divisor(double a, double b)
{
    while (b > 0) {
        double rest = fmod(a, b);
        a = b;
        b = rest;
    }
    return a;
}

/* A multiple of both is a multiple of their least common one: infinity when only 0 is left. */
static struct decimal common_multiple(struct decimal a, struct decimal b)
{
    int places = a.places > b.places ? a.places : b.places;
    double x = a.digits * pow(10, places - a.places), y = b.digits * pow(10, places - b.places);
    double both = x <= EXACT_MAX && y <= EXACT_MAX ? x / common_divisor(x, y) * y : INFINITY;

    return both <= EXACT_MAX ? (struct decimal){ both, places } : (struct decimal){ INFINITY, 0 };
}

/* ---- Numbers ---- */

struct numbers {
    struct schema_bound minimum, maximum;
    struct decimal multiple;
    uint32_t node; /* of the last schema that bounds */
};

static int multiple_add(struct grammar *g, struct numbers *n, uint32_t node)
{
    struct decimal one;

    if (!decimal_of(g->s->node[node].multiple_of, &one))
        return grammar_fault(g, node, "multipleOf", "multipleOf has more than 15 decimal places.",
                             "Write it with fewer.");
    n->multiple = n->multiple.digits > 0 ? common_multiple(n->multiple, one) : one;
    return 0;
}

static int numbers_of(struct grammar *g, const struct conjuncts *set, bool integer,
                      struct numbers *out)
{
    *out = (struct numbers){ .node = set->count ? set->item[0].node : 0 };
    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        if (n->minimum.has && (!out->minimum.has || n->minimum.value > out->minimum.value ||
                               (n->minimum.value >= out->minimum.value && n->minimum.exclusive)))
            out->minimum = n->minimum;
        if (n->maximum.has && (!out->maximum.has || n->maximum.value < out->maximum.value ||
                               (n->maximum.value <= out->maximum.value && n->maximum.exclusive)))
            out->maximum = n->maximum;
        if (n->minimum.has || n->maximum.has || n->multiple_of > 0)
            out->node = set->item[i].node;
        if (n->multiple_of > 0 && multiple_add(g, out, set->item[i].node) < 0)
            return -1;
    }
    struct decimal *m = &out->multiple;
    if (integer && m->digits > 0 && m->places > 0) /* its integers: of 0.75, those of 3 */
        *m = (struct decimal){ m->digits / common_divisor(m->digits, pow(10, m->places)), 0 };
    return 0;
}

/* As a small schema of its own, whose regular expression the engine's library makes. */
static void number_leaf(struct grammar *g, uint32_t rule, const struct numbers *n, bool integer)
{
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    double lo = n->minimum.has ? n->minimum.value : -1e15;
    double hi = n->maximum.has ? n->maximum.value : 1e15;

    json_object(&w, NULL);
    json_add_c(&w, "type", integer ? "integer" : "number");
    json_add_double(&w, n->minimum.has && n->minimum.exclusive ? "exclusiveMinimum" : "minimum",
                    lo < -1e15 ? -1e15 : lo);
    json_add_double(&w, n->maximum.has && n->maximum.exclusive ? "exclusiveMaximum" : "maximum",
                    hi > 1e15 ? 1e15 : hi);
    if (n->multiple.digits > 0)
        json_add_double(&w, "multipleOf", decimal_value(&n->multiple));
    json_object(&w, "x-guidance");
    json_add_bool(&w, "whitespace_flexible", false);
    json_end(&w);
    json_end(&w);
    struct symbol leaf =
        symbol_leaf(g, buf_str(&text), n->node, n->multiple.digits > 0 ? "multipleOf" : "minimum");
    rule_add(g, rule, &leaf, 1);
    buf_release(&text);
}

/* A few multiples by name, where a regular expression would count too many remainders: those nearest
 * to zero within the bounds, or nearest to the bound. */
static void multiples_named(struct grammar *g, uint32_t rule, const struct numbers *n)
{
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    double step = decimal_value(&n->multiple);
    double lo = n->minimum.has ? n->minimum.value : -EXACT_MAX;
    double hi = n->maximum.has ? n->maximum.value : EXACT_MAX;
    double from = fmax(ceil(lo / step), -SCHEMA_MULTIPLES_NAMED), to = floor(hi / step);

    if (to < from)
        from = fmax(ceil(lo / step), to - SCHEMA_MULTIPLES_NAMED);
    for (double k = from; k <= to && k <= from + 2 * SCHEMA_MULTIPLES_NAMED; k++) {
        bool zero = k >= 0 && k <= 0; /* the one multiple of infinity */
        double v = zero ? 0 : k * step;
        if ((!zero && fabs(k * n->multiple.digits) > EXACT_MAX) || v < lo || v > hi ||
            (n->minimum.exclusive && v <= lo) || (n->maximum.exclusive && v >= hi))
            continue;
        buf_addf(&text, "%s\"%.*f\"", text.len ? " | " : "", n->multiple.places, v);
    }
    if (text.len) {
        struct symbol named = symbol_terminal(g, buf_str(&text));
        rule_add(g, rule, &named, 1);
    } else {
        grammar_dead(g, n->node, "multipleOf", "No multiple lies within the bounds.");
    }
    buf_release(&text);
}

/* The whole numbers within the bounds; false when there are none. */
static bool integers_within(const struct numbers *n, int64_t *lo, int64_t *hi)
{
    double low = n->minimum.has ? ceil(n->minimum.value) : -(double)INTEGER_MAX;
    double high = n->maximum.has ? floor(n->maximum.value) : (double)INTEGER_MAX;

    if (n->minimum.has && n->minimum.exclusive && low <= n->minimum.value)
        low += 1;
    if (n->maximum.has && n->maximum.exclusive && high >= n->maximum.value)
        high -= 1;
    low = low < -(double)INTEGER_MAX ? -(double)INTEGER_MAX : low;
    high = high > (double)INTEGER_MAX ? (double)INTEGER_MAX : high;
    if (low > high)
        return false;
    *lo = (int64_t)low;
    *hi = (int64_t)high;
    return true;
}

int grammar_number(struct grammar *g, const struct conjuncts *set, uint32_t rule, bool integer)
{
    struct numbers n;
    int64_t lo = 0, hi = 0;

    if (numbers_of(g, set, integer, &n) < 0)
        return -1;
    double multiple = n.multiple.digits > 0 ? decimal_value(&n.multiple) : 0;
    if (integer && !integers_within(&n, &lo, &hi)) {
        grammar_dead(g, n.node, "minimum", "No integer lies within the bounds.");
        return 0;
    }
    if (integer && isfinite(multiple) && multiple > 0 &&
        fmod(multiple - fmod((double)lo, multiple), multiple) > (double)(hi - lo)) {
        grammar_dead(g, n.node, "multipleOf", "No multiple lies within the bounds.");
        return 0;
    }
    if (n.multiple.digits > SCHEMA_REMAINDERS_EACH || !library_reads(&n.multiple)) {
        multiples_named(g, rule, &n);
        return 0;
    }
    g->remainders += n.multiple.digits;
    if (g->remainders > SCHEMA_REMAINDERS_MAX)
        return grammar_fault(g, n.node, "multipleOf",
                             "The multiples of the schema count more than 50000 remainders.",
                             "Use fewer or smaller ones.");
    if (multiple > 0 || (!integer && (n.minimum.has || n.maximum.has))) {
        number_leaf(g, rule, &n, integer);
        return 0;
    }
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    if (integer)
        integer_regex(&text, lo, hi);
    else
        buf_add_c(&text, ANY_NUMBER);
    uint32_t had = g->terminal_count;
    struct symbol number = symbol_terminal(g, buf_str(&text));
    rule_add(g, rule, &number, 1);
    buf_release(&text);
    g->range_count += integer && g->terminal_count > had;
    return leaves_have_room(g, n.node, "minimum") ? 0 : -1;
}

/* ---- Strings ---- */

struct strings {
    uint64_t min_length, max_length;
    const char *keyword; /* "pattern" or "format" when there is one */
    uint32_t node;
};

static void pattern_member(struct json_writer *w, struct str pattern)
{
    json_object(w, NULL);
    json_add_text(w, "pattern", pattern);
    json_end(w);
}

static void string_leaf(struct grammar *g, const struct conjuncts *set, uint32_t rule,
                        const struct strings *in)
{
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);

    json_object(&w, NULL);
    json_add_c(&w, "type", "string");
    if (in->min_length)
        json_add_uint(&w, "minLength", in->min_length);
    if (in->max_length != UINT64_MAX)
        json_add_uint(&w, "maxLength", in->max_length);
    json_array(&w, "allOf");
    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        if (n->pattern) {
            struct buf pattern = BUF_INIT((size_t)2 * SCHEMA_PATTERN_BYTES_MAX);
            pattern_write(n->pattern, &pattern);
            pattern_member(&w, buf_str(&pattern));
            buf_release(&pattern);
        }
        if (n->format && n->format->pattern)
            pattern_member(&w, str_of(n->format->pattern));
    }
    json_end(&w);
    json_object(&w, "x-guidance");
    json_add_bool(&w, "whitespace_flexible", false);
    json_end(&w);
    json_end(&w);
    struct symbol leaf = symbol_leaf(g, buf_str(&text), in->node, in->keyword);
    rule_add(g, rule, &leaf, 1);
    buf_release(&text);
}

/* The engine's lexer has states for each character that an expression counts. So longer texts are counted
 * in blocks, which the parser counts: the states do not grow with the text. */
#define TEXT_WHOLE_MAX 256 /* characters that one expression counts */
#define TEXT_BLOCK 64

/* A terminal of least to most characters (UINT64_MAX: any number). */
static struct symbol characters(struct grammar *g, const char *before, uint64_t least,
                                uint64_t most, const char *behind)
{
    struct buf text = BUF_INIT(256);

    buf_addf(&text, "/%s" STRING_CHAR "{%llu,", before, (unsigned long long)least);
    if (most != UINT64_MAX)
        buf_addf(&text, "%llu", (unsigned long long)most);
    buf_addf(&text, "}%s/", behind);
    struct symbol s = symbol_terminal(g, buf_str(&text));
    buf_release(&text);
    return s;
}

/* blocks[0] to blocks[1] blocks (UINT64_MAX: any number), then a last part of last[0] to last[1]
 * characters and the quote. */
static void blocks_add(struct grammar *g, uint32_t rule, const uint64_t blocks[2],
                       const uint64_t last[2])
{
    struct symbol block = characters(g, "", TEXT_BLOCK, TEXT_BLOCK, "");
    struct buf text = BUF_INIT(64);

    buf_addf(&text, "%.*s{%llu,", STR_ARG(block.text), (unsigned long long)blocks[0]);
    if (blocks[1] != UINT64_MAX)
        buf_addf(&text, "%llu", (unsigned long long)blocks[1]);
    buf_add_char(&text, '}');
    const struct symbol all[] = { symbol_text(g, buf_str(&text)),
                                  characters(g, "", last[0], last[1], "\"") };
    if (blocks[1])
        rule_add(g, rule, all, 2);
    else
        rule_add(g, rule, all + 1, 1);
    buf_release(&text);
}

/* least to most characters and the quote behind them, in blocks. */
static uint32_t blocks_rule(struct grammar *g, uint64_t least, uint64_t most)
{
    const uint64_t full = TEXT_BLOCK - 1, few = least / TEXT_BLOCK, over = least % TEXT_BLOCK;
    const uint64_t many = most == UINT64_MAX ? UINT64_MAX : most / TEXT_BLOCK;
    uint32_t rule = rule_new(g);

    assert(least <= most);
    blocks_add(g, rule, (uint64_t[]){ few, few },
               (uint64_t[]){ over, many == few ? most % TEXT_BLOCK : full });
    if (many == UINT64_MAX || many > few + 1)
        blocks_add(g, rule, (uint64_t[]){ few + 1, many == UINT64_MAX ? UINT64_MAX : many - 1 },
                   (uint64_t[]){ 0, full });
    if (many != UINT64_MAX && many > few)
        blocks_add(g, rule, (uint64_t[]){ many, many }, (uint64_t[]){ 0, most % TEXT_BLOCK });
    return rule;
}

/* The first block has the quote before it: a text is one expression where it is short, beside others. */
static void add_long_text(struct grammar *g, uint32_t rule, uint64_t least, uint64_t most)
{
    uint64_t rest_most = most == UINT64_MAX ? UINT64_MAX : most - TEXT_BLOCK;
    uint32_t rest = blocks_rule(g, least > TEXT_BLOCK ? least - TEXT_BLOCK : 0, rest_most);
    const struct symbol all[] = { characters(g, "\"", TEXT_BLOCK, TEXT_BLOCK, ""),
                                  symbol_rule(rest) };

    assert(most > TEXT_BLOCK);
    rule_add(g, rule, all, 2);
    if (least >= TEXT_BLOCK)
        return;
    struct symbol whole = characters(g, "\"", least, TEXT_BLOCK - 1, "\"");
    rule_add(g, rule, &whole, 1);
}

int grammar_string(struct grammar *g, const struct conjuncts *set, uint32_t rule)
{
    struct strings in = { .max_length = UINT64_MAX };
    double overlap = 1; /* states of all patterns, each of which can be at any of its beginnings */

    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        in.min_length = n->min_length > in.min_length ? n->min_length : in.min_length;
        in.max_length = n->max_length < in.max_length ? n->max_length : in.max_length;
        if (n->pattern &&
            (overlap *= (double)pattern_overlap(n->pattern)) > SCHEMA_PATTERN_OVERLAP_MAX)
            return grammar_fault(
                g, set->item[i].node, "pattern",
                "Repetitions that can begin anywhere count over 400, for all patterns of the text "
                "together.",
                "Begin the pattern with ^, count less, or write fewer patterns for one text.");
        if (n->pattern || (n->format && n->format->pattern)) {
            in.keyword = n->pattern ? "pattern" : "format";
            in.node = set->item[i].node;
        }
    }
    if (in.min_length > in.max_length) {
        grammar_dead(g, set->item[0].node, "minLength",
                     "The lengths of the schemas that hold here exclude each other.");
        return 0;
    }
    if (in.keyword) {
        string_leaf(g, set, rule, &in);
        return 0;
    }
    bool any = in.max_length == UINT64_MAX;
    if ((any ? in.min_length : in.max_length) > TEXT_WHOLE_MAX) {
        add_long_text(g, rule, in.min_length, in.max_length);
        return 0;
    }
    struct symbol string = characters(g, "\"", in.min_length, in.max_length, "\"");
    rule_add(g, rule, &string, 1);
    return 0;
}
