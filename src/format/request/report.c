/* report.c -- violations in words: the place, what is wrong, and the nearest right name. */
#include "format/request/fields.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Edits between a wrong name and one that is suggested for it. */
#define NEAR_EDITS_MAX 3
#define PATH_BYTES_MAX ((size_t)64 * 1024)
#define NAME_BYTES_MAX 64
/* Bytes of a list of values, which must fit into a remedy. */
#define VALUES_BYTES_MAX (VIOLATION_TEXT_BYTES - 32)

struct violation *violations_add(struct violations *all)
{
    unsigned slot = all->count < VIOLATIONS_PER_LINE_MAX ? all->count : VIOLATIONS_PER_LINE_MAX;
    struct violation *v = &all->item[slot];

    all->count++;
    all->warnings = 0;
    memset(v, 0, sizeof *v);
    return v;
}

unsigned violations_held(const struct violations *all)
{
    unsigned found = all->count + all->warnings;

    return found < VIOLATIONS_PER_LINE_MAX ? found : VIOLATIONS_PER_LINE_MAX;
}

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c = (char)(c - 'A' + 'a');
    return c;
}

static void path_of(const struct place *at, struct buf *path)
{
    if (!at)
        return;
    path_of(at->up, path);
    if (at->is_index)
        json_path_index(path, at->index);
    else
        json_path_key(path, at->key);
}

__attribute__((format(printf, 2, 0))) static void text_set(char text[VIOLATION_TEXT_BYTES],
                                                           const char *fmt, va_list ap)
{
    int n = vsnprintf(text, VIOLATION_TEXT_BYTES, fmt, ap);

    str_settle(text, n, VIOLATION_TEXT_BYTES);
}

struct violation *check_fail_at(struct check *c, struct str path)
{
    struct violation *v = violations_add(c->bad);

    if (v == &c->bad->item[VIOLATIONS_PER_LINE_MAX])
        return v; /* only counted: finding its place would cost a pass over the line */
    v->offset = json_locate(c->line, path);
    struct str held = str_cut(path, sizeof v->path - 1);
    if (held.len)
        memcpy(v->path, held.p, held.len);
    v->path[held.len] = '\0';
    return v;
}

struct violation *check_fail(struct check *c, const struct place *at, const char *fmt, ...)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    va_list ap;

    if (violations_held(c->bad) < VIOLATIONS_PER_LINE_MAX)
        path_of(at, &path);
    struct violation *v = check_fail_at(c, buf_str(&path));
    buf_release(&path);
    va_start(ap, fmt);
    text_set(v->message, fmt, ap);
    va_end(ap);
    return v;
}

void violation_message(struct violation *v, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    text_set(v->message, fmt, ap);
    va_end(ap);
}

void violation_remedy(struct violation *v, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    text_set(v->remedy, fmt, ap);
    va_end(ap);
}

struct quoted quote(struct str s)
{
    static const size_t shown_max[] = { 64, 16 }; /* the second fits even when all is escaped */
    struct quoted q = { "" };
    struct buf b = BUF_INIT(sizeof q.text - 1);

    for (size_t i = 0; i < 2; i++) {
        struct str shown = str_cut(s, shown_max[i]);
        buf_clear(&b);
        buf_add_json(&b, shown);
        if (shown.len < s.len && buf_ok(&b)) {
            b.len--;
            buf_add_c(&b, "...\"");
        }
        if (buf_ok(&b))
            break;
    }
    memcpy(q.text, b.p, b.len);
    buf_release(&b);
    return q;
}

bool lower_equal(struct str a, const char *b)
{
    size_t i = 0;

    while (i < a.len && b[i] && lower(a.p[i]) == lower(b[i]))
        i++;
    return i == a.len && !b[i];
}

/* A name in lower case and without underscores: what counts for nearness. */
struct folded {
    char text[NAME_BYTES_MAX];
    size_t len;
};

static struct folded fold(struct str s)
{
    struct folded f = { .len = 0 };

    for (size_t i = 0; i < s.len && f.len < sizeof f.text; i++)
        if (s.p[i] != '_')
            f.text[f.len++] = lower(s.p[i]);
    return f;
}

/* Edits from a wrong name to a right one, or more than may be suggested. */
static unsigned edits(const struct folded *wrong, const char *right)
{
    struct folded r = fold(str_of(right));
    unsigned most = wrong->len / 3 < NEAR_EDITS_MAX ? (unsigned)wrong->len / 3 : NEAR_EDITS_MAX;
    unsigned n =
        str_distance((struct str){ wrong->text, wrong->len }, (struct str){ r.text, r.len }, most);

    return n > most ? UINT_MAX : n;
}

/* The name of m's field that a wrong name is near to; NULL when it is near to none. */
static const char *nearest_field(const struct message *m, struct str name)
{
    struct folded wrong = fold(name);
    const char *best = NULL;
    unsigned fewest = UINT_MAX;

    for (size_t i = 0; i < m->field_count; i++) {
        unsigned n = edits(&wrong, m->field[i].name);
        if (n < fewest) {
            fewest = n;
            best = m->field[i].name;
        }
    }
    return best;
}

/* The object that has a field of this name, below m or at the top: the user put it too high or too
 * low. */
static const char *home_of(const struct message *m, struct str name)
{
    for (size_t i = 0; i < m->field_count; i++)
        if (m->field[i].kind == FIELD_MESSAGE && message_field(m->field[i].message, name))
            return m->field[i].name;
    bool is_top = m == &request_message || m == &embed_message;
    return !is_top && message_field(&request_message, name) ? "the request itself" : NULL;
}

/* A field's name in the spelling that the user chose. */
static void spell(const char *camel, bool snake, char out[NAME_BYTES_MAX])
{
    size_t len = 0;

    for (; *camel && len + 2 < NAME_BYTES_MAX; camel++) {
        bool joint = snake && *camel >= 'A' && *camel <= 'Z';
        if (joint)
            out[len++] = '_';
        out[len] = *camel;
        if (joint)
            out[len] = lower(*camel);
        len++;
    }
    out[len] = '\0';
}

/* True when the last violation was only counted: nobody reads its remedy, so no likely name is
 * searched for it. */
static bool is_unread(const struct check *c)
{
    return c->bad->count > VIOLATIONS_PER_LINE_MAX;
}

/* Names that Google's SDKs have in their own objects, and no request has. */
static const char *remedy_of_sdk(struct str name)
{
    static const struct {
        const char *name, *remedy;
    } known[] = {
        { "config", "config is the SDK's own: write systemInstruction, safetySettings, tools, "
                    "toolConfig and labels into the request itself, and its other members into "
                    "generationConfig." },
        { "httpOptions", "Remove it: it is a setting of the SDK, not of a request." },
        { "automaticFunctionCalling",
          "Remove it: the SDK's automatic calls have no place in a batch." },
        { "shouldReturnHttpResponse", "Remove it: it is a setting of the SDK, not of a request." },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (field_named(known[i].name, name))
            return known[i].remedy;
    return NULL;
}

void name_unknown(struct check *c, const struct place *at, const struct message *m)
{
    struct violation *v = check_fail(c, at, "Unknown name %s in %s.", quote(at->key).text, m->name);
    char name[NAME_BYTES_MAX];

    if (is_unread(c))
        return;
    const char *home = home_of(m, at->key), *near = nearest_field(m, at->key);
    const char *sdk = remedy_of_sdk(at->key);
    if (sdk) {
        violation_remedy(v, "%s", sdk);
    } else if (home) {
        violation_remedy(v, "Move it: it belongs in %s.", home);
    } else if (near) {
        spell(near, at->key.len && memchr(at->key.p, '_', at->key.len), name);
        violation_remedy(v, "Did you mean \"%s\"?", name);
    } else if (c->bare && m == &request_message) {
        violation_remedy(v,
                         "Wrap the request to keep your own keys: {\"request\": {...}, %s: ...}.",
                         quote(at->key).text);
    } else {
        violation_remedy(v, "Remove it.");
    }
}

static const char *nearest_value(const struct field *f, struct str value)
{
    struct folded wrong = fold(value);
    const char *best = NULL;
    unsigned fewest = UINT_MAX;

    for (size_t i = 0; value.len && f->values[i]; i++) {
        unsigned n = edits(&wrong, f->values[i]);
        if (n < fewest) {
            fewest = n;
            best = f->values[i];
        }
    }
    return best;
}

/* True when the list of values has this one before. */
static bool is_listed(const struct field *f, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!strcmp(f->values[k], f->values[i]))
            return true;
    return false;
}

void value_unknown(struct check *c, const struct place *at, const struct field *f,
                   yyjson_val *value)
{
    struct violation *v =
        yyjson_is_num(value)
            ? check_fail(c, at, "%s has no value %.15g.", f->name, yyjson_get_num(value))
            : check_fail(c, at, "%s has no value %s.", f->name, quote(json_str(value)).text);
    struct buf all = BUF_INIT(VALUES_BYTES_MAX);

    if (is_unread(c))
        return;
    const char *near = nearest_value(f, json_str(value));
    if (near) {
        violation_remedy(v, "Did you mean \"%s\"?", near);
        return;
    }
    for (size_t i = 0; f->values[i]; i++)
        if (!str_ends(str_of(f->values[i]), STR("UNSPECIFIED")) && !is_listed(f, i))
            buf_addf(&all, "%s%s", all.len ? ", " : "", f->values[i]);
    violation_remedy(v, "Use one of %.*s%s.", STR_ARG(buf_str(&all)), all.overflow ? ", ..." : "");
    buf_release(&all);
}
