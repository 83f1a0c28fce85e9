#include "base/mem.h"
#include "base/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Up to this many keys are compared pair by pair, which needs no memory. */
#define KEYS_PAIRED_MAX 16

static void *arena_malloc(void *ctx, size_t bytes)
{
    return arena_alloc_raw(ctx, bytes);
}

static void *arena_realloc(void *ctx, void *p, size_t old_bytes, size_t bytes)
{
    return arena_grow(ctx, p, old_bytes, bytes);
}

static void arena_no_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

#define UTF_16 "This is UTF-16 text, but JSON must be UTF-8: iconv -f UTF-16 -t UTF-8 converts it"

/* Frequent mistakes where JSON was expected, by the parser's code and the first bytes there. */
// clang-format off
static const struct {
    yyjson_read_code code;
    const char *bytes;
    const char *message;
} clues[] = {
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "\x1f\x8b",
      "This is gzip-compressed data, not JSON: decompress it first" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "\xff\xfe", UTF_16 },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "\xfe\xff", UTF_16 },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "\xef\xbb\xbf",
      "A byte order mark stands here: only a file may begin with one" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "NaN", "NaN is not a JSON number" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "Infinity", "Infinity is not a JSON number" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "True", "True is Python; JSON writes true" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "False", "False is Python; JSON writes false" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "None", "None is Python; JSON writes null" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "undefined",
      "undefined is JavaScript; JSON writes null" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "'",
      "JSON strings stand between double quotes, not single ones" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "//", "JSON has no comments" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "/*", "JSON has no comments" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, "+", "A JSON number has no plus sign" },
    { YYJSON_READ_ERROR_UNEXPECTED_CHARACTER, ".", "A JSON number has a digit before its point" },
    { YYJSON_READ_ERROR_INVALID_NUMBER, "Infinity", "-Infinity is not a JSON number" },
    { YYJSON_READ_ERROR_INVALID_NUMBER, "0", "A JSON number has no leading zeros" },
    { YYJSON_READ_ERROR_INVALID_STRING, "\\u",
      "The \\u escape is not a character: four hex digits are needed, and surrogates come in pairs" },
    { YYJSON_READ_ERROR_UNEXPECTED_END, "",
      "The JSON ends too early: a closing quote, bracket or brace is missing" },
    { YYJSON_READ_ERROR_UNEXPECTED_CONTENT, "",
      "More text follows after the end of the JSON value" },
    { YYJSON_READ_ERROR_EMPTY_CONTENT, "", "There is no JSON: the text is empty" },
    { YYJSON_READ_ERROR_JSON_STRUCTURE, "", "JSON has no comma after the last value" },
    { YYJSON_READ_ERROR_LITERAL, "", "A word must be true, false or null" },
};
// clang-format on

static const char *clue_find(struct str rest, yyjson_read_code code)
{
    for (size_t i = 0; i < ARRAY_LEN(clues); i++)
        if (clues[i].code == code && str_starts(rest, str_of(clues[i].bytes)))
            return clues[i].message;
    return NULL;
}

/* The parser stops behind a lone high surrogate; the user wants to see the escape itself. */
static size_t step_back_to_surrogate(struct str text, size_t at)
{
    struct str before = str_sub(text, at - (at < 6 ? at : 6), 6);
    bool high = at >= 6 && str_starts(before, STR("\\u")) &&
                (before.p[2] == 'd' || before.p[2] == 'D') && strchr("89abAB", before.p[3]);

    return high ? at - 6 : at;
}

static int string_error(unsigned char c, struct error *e)
{
    if (c < 0x20)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "A control character (0x%02x) stands in a string: write it as an escape",
                         c);
    if (c >= 0x80)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The byte 0x%02x is not valid UTF-8", c);
    return error_set(e, ERROR_INVALID_ARGUMENT, "\\%c is not a JSON escape", c);
}

static int character_error(unsigned char c, const char *msg, struct error *e)
{
    static const struct str opening = STR_INIT("unexpected character, expected ");
    struct str wanted = str_of(msg);

    if (c == '\0')
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "Not JSON: a zero byte stands here, as in UTF-16 text; JSON must be UTF-8");
    if (str_starts(wanted, opening))
        wanted = str_sub(wanted, opening.len, wanted.len);
    if (str_eq_c(wanted, "a valid root value"))
        wanted = STR("a value");
    if (c > 0x20 && c < 0x7f)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Not JSON: \"%c\" stands here, expected %.*s",
                         c, STR_ARG(wanted));
    return error_set(e, ERROR_INVALID_ARGUMENT, "Not JSON: byte 0x%02x stands here, expected %.*s",
                     c, STR_ARG(wanted));
}

/* The parser's finding in the user's words. */
static int syntax_error(struct str text, const yyjson_read_err *err, size_t *at, struct error *e)
{
    size_t pos = err->pos < text.len ? err->pos : text.len;

    assert(err->msg);
    if (err->code == YYJSON_READ_ERROR_INVALID_STRING)
        pos = step_back_to_surrogate(text, pos);
    *at = pos;
    const char *known = clue_find(str_sub(text, pos, text.len), err->code);
    if (known)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s", known);
    unsigned char c = pos < text.len ? (unsigned char)text.p[pos] : 0;
    if (err->code == YYJSON_READ_ERROR_INVALID_STRING)
        return string_error(c, e);
    if (err->code == YYJSON_READ_ERROR_UNEXPECTED_CHARACTER)
        return character_error(c, err->msg, e);
    if (strstr(err->msg, "infinity"))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The number is too large: 1.7e308 is about the largest");
    return error_set(e, ERROR_INVALID_ARGUMENT, "Not JSON: %s", err->msg);
}

yyjson_val *json_parse(struct arena *a, struct str text, size_t *at, struct error *e)
{
    const yyjson_alc alc = { arena_malloc, arena_realloc, arena_no_free, a };
    yyjson_read_err err = { .code = YYJSON_READ_ERROR_EMPTY_CONTENT, .msg = "" };
    yyjson_doc *doc = NULL;

    /* Without YYJSON_READ_INSITU the text is only read, whatever the parameter's type says. */
    union {
        const char *read_only;
        char *p;
    } as = { text.p };
    if (text.len)
        doc = yyjson_read_opts(as.p, text.len, 0, &alc, &err);
    if (doc)
        return yyjson_doc_get_root(doc);
    (void)syntax_error(text, &err, at, e);
    return NULL;
}

/* An array or object whose children are being visited. */
struct level {
    yyjson_val *key;   /* of the child visited now, when it is an object's */
    yyjson_val *child; /* the next child, or the next key */
    size_t index;      /* of the next child */
    size_t count;
    bool object;
};

struct walk {
    struct level level[JSON_DEPTH_MAX];
    size_t depth; /* open levels */
};

/* The path of the value that the walk stands at. */
static void walk_path(const struct walk *w, struct buf *path)
{
    for (size_t i = 0; i < w->depth; i++) {
        if (w->level[i].object)
            json_path_key(path, json_str(w->level[i].key));
        else
            json_path_index(path, w->level[i].index - 1);
    }
}

static yyjson_val *twin_paired(yyjson_val *const *key, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (str_eq(json_str(key[i]), json_str(key[j])))
                return key[i];
    return NULL;
}

/* By text, then by position, so that of equal keys the first written comes first. */
static int key_order(const void *a, const void *b)
{
    yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
    struct str s = json_str(x), t = json_str(y);
    int c = (s.len > t.len) - (s.len < t.len);

    if (c == 0 && s.len)
        c = memcmp(s.p, t.p, s.len);
    return c ? c : (x > y) - (x < y);
}

static yyjson_val *twin_sorted(yyjson_val **key, size_t count)
{
    yyjson_val *found = NULL;

    qsort(key, count, sizeof(*key), key_order); /* NOLINT(bugprone-sizeof-expression): pointers */
    for (size_t i = 1; i < count; i++)
        if (str_eq(json_str(key[i - 1]), json_str(key[i])) && (!found || key[i] < found))
            found = key[i];
    return found;
}

static void keys_gather(yyjson_val *object, yyjson_val **out)
{
    yyjson_val *key = unsafe_yyjson_get_first(object);

    for (size_t i = 0, n = unsafe_yyjson_get_len(object); i < n; i++) {
        out[i] = key;
        key = unsafe_yyjson_get_next(unsafe_yyjson_get_next(key));
    }
}

/* The first key that was there before, or NULL. Sorting keeps an object of a million keys cheap. */
static yyjson_val *key_twin(yyjson_val *object)
{
    size_t count = yyjson_obj_size(object);
    yyjson_val *few[KEYS_PAIRED_MAX];

    if (count < 2)
        return NULL;
    if (count <= KEYS_PAIRED_MAX) {
        keys_gather(object, few);
        return twin_paired(few, count);
    }
    yyjson_val **many = mem_array(count, sizeof(*many)); /* NOLINT(bugprone-sizeof-expression) */
    keys_gather(object, many);
    yyjson_val *found = twin_sorted(many, count);
    mem_free(many);
    return found;
}

static int keys_check(const struct walk *w, yyjson_val *object, struct buf *path, struct error *e)
{
    yyjson_val *twin = key_twin(object);

    if (!twin)
        return 0;
    walk_path(w, path);
    json_path_key(path, json_str(twin));
    return error_set(e, ERROR_INVALID_ARGUMENT, "The key stands twice in one object");
}

static int walk_enter(struct walk *w, yyjson_val *container, struct buf *path, struct error *e)
{
    if (w->depth == JSON_DEPTH_MAX) {
        walk_path(w, path);
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Arrays and objects are nested more than %d deep", JSON_DEPTH_MAX);
    }
    bool object = yyjson_is_obj(container);
    if (object && keys_check(w, container, path, e) < 0)
        return -1;
    w->level[w->depth++] = (struct level){
        .child = unsafe_yyjson_get_first(container),
        .count = unsafe_yyjson_get_len(container),
        .object = object,
    };
    return 0;
}

int json_check(yyjson_val *root, struct buf *path, struct error *e)
{
    struct walk w;

    w.depth = 0;
    if (yyjson_is_ctn(root) && walk_enter(&w, root, path, e) < 0)
        return -1;
    while (w.depth) {
        struct level *l = &w.level[w.depth - 1];
        if (l->index == l->count) {
            w.depth--;
            continue;
        }
        l->key = l->child;
        yyjson_val *value = l->object ? unsafe_yyjson_get_next(l->child) : l->child;
        l->child = unsafe_yyjson_get_next(value);
        l->index++;
        if (yyjson_is_ctn(value) && walk_enter(&w, value, path, e) < 0)
            return -1;
    }
    return 0;
}

struct str json_str(yyjson_val *v)
{
    return (struct str){ yyjson_get_str(v), yyjson_is_str(v) ? yyjson_get_len(v) : 0 };
}

bool json_count(yyjson_val *v, uint64_t *out)
{
    if (!yyjson_is_uint(v))
        return str_number(json_str(v), out);
    *out = yyjson_get_uint(v);
    return true;
}

yyjson_val *json_get(yyjson_val *object, const char *key)
{
    return yyjson_obj_get(object, key);
}

/* A parsed value holds nothing that cannot be written. */
struct str json_text(struct arena *a, yyjson_val *v)
{
    const yyjson_alc alc = { arena_malloc, arena_realloc, arena_no_free, a };
    size_t len = 0;
    const char *text = yyjson_val_write_opts(v, 0, &alc, &len, NULL);

    assert(text);
    return (struct str){ text, len };
}
