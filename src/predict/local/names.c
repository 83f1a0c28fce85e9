#include "predict/local/names.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

#define NAME_BYTES_MAX ((size_t)1024 * 1024)
#define NAME_NOT_BEGUN 2
#define NAME_BEGUN 1

/* ---- Hashes ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
    return h ^ h >> 32;
}

static uint64_t *slot_of(const struct name_set *s, uint64_t key)
{
    size_t at = (size_t)key & (s->cap - 1);

    while (s->slot[at] && s->slot[at] != key)
        at = (at + 1) & (s->cap - 1);
    return &s->slot[at];
}

static bool has(const struct name_set *s, uint64_t key)
{
    return s->cap && *slot_of(s, key) == key;
}

static void add(struct name_set *s, uint64_t key)
{
    if (2 * (s->count + 1) > s->cap) {
        struct name_set larger = { .cap = s->cap ? 2 * s->cap : 64, .count = s->count };
        larger.slot = mem_array(larger.cap, sizeof *larger.slot);
        for (size_t i = 0; i < s->cap; i++)
            if (s->slot[i])
                *slot_of(&larger, s->slot[i]) = s->slot[i];
        mem_free(s->slot);
        *s = larger;
    }
    uint64_t *slot = slot_of(s, key);
    s->count += *slot == 0;
    *slot = key;
}

/* A whole name has the lowest bit, a beginning has the second instead. */
static uint64_t whole_key(const struct name_position *at)
{
    return mix(at->name, at->object[at->depth - 1]) | 1;
}

uint64_t name_position_key(const struct name_position *at)
{
    return (mix(at->name, at->object[at->depth - 1]) & ~(uint64_t)1) | 2;
}

/* ---- Positions ---- */

void name_position_copy(struct name_position *to, const struct name_position *from)
{
    memcpy(to, from, offsetof(struct name_position, object) + from->depth * sizeof from->object[0]);
}

static void name_expect(struct name_position *p, bool is_name)
{
    p->is_name = is_name;
    p->name = NAME_NOT_BEGUN;
}

/* Goes one byte on, which does not open too much: true when it completes a name. */
static bool step(struct name_position *p, char c)
{
    if (p->in_string) {
        bool ends = c == '"' && !p->escaped;
        p->escaped = c == '\\' && !p->escaped;
        p->in_string = !ends;
        if (!p->is_name)
            return false;
        if (!ends)
            p->name = mix(p->name, (unsigned char)c);
        p->is_name = !ends;
        return ends;
    }
    if (c == '"') {
        p->in_string = true;
        p->name = NAME_BEGUN;
    } else if (c == '{' || c == '[') {
        assert(p->depth < NESTING_MAX);
        p->object[p->depth++] = c == '{' ? ++p->last : 0;
        name_expect(p, c == '{');
    } else if (c == '}' || c == ']') {
        p->depth -= p->depth > 0;
        name_expect(p, false);
    } else if (c == ':') {
        name_expect(p, false);
    } else if (c == ',') {
        name_expect(p, p->depth > 0 && p->object[p->depth - 1] != 0);
    }
    return false;
}

static bool is_too_deep(const struct name_position *p, char c)
{
    return p->depth == NESTING_MAX && !p->in_string && (c == '{' || c == '[');
}

/* The position in the object that is open at *at where a name is expected. */
static struct name_position name_begin(const struct name_position *at)
{
    struct name_position p = { .depth = 1, .is_name = true, .name = NAME_NOT_BEGUN };

    p.object[0] = at->object[at->depth - 1];
    return p;
}

/* ---- Names ---- */

void names_init(struct names *n, bool beginnings)
{
    *n = (struct names){ .beginnings = beginnings, .name = BUF_INIT(NAME_BYTES_MAX) };
}

void names_release(struct names *n)
{
    mem_free(n->set.slot);
    buf_release(&n->name);
}

enum name_verdict names_try(const struct names *n, struct name_position *at, struct str bytes)
{
    uint64_t first = 0; /* the bytes may complete one name, and the same again */

    for (size_t i = 0; i < bytes.len; i++) {
        if (is_too_deep(at, bytes.p[i]))
            return NAME_TOO_DEEP;
        if (!step(at, bytes.p[i]))
            continue;
        uint64_t key = whole_key(at);
        if (key == first || has(&n->set, key))
            return NAME_REPEATED;
        first = key;
    }
    bool open = n->beginnings && at->is_name;
    return open && has(&n->set, name_position_key(at)) ? NAME_BEGUN_BEFORE : NAME_FREE;
}

/* Keeps the name that is complete at *at, and all its beginnings. */
static void keep_name(struct names *n)
{
    add(&n->set, whole_key(&n->at));
    if (!n->beginnings)
        return;
    struct name_position p = name_begin(&n->at);
    add(&n->set, name_position_key(&p));
    (void)step(&p, '"');
    add(&n->set, name_position_key(&p));
    for (size_t i = 0; i < n->name.len; i++) {
        (void)step(&p, n->name.p[i]);
        add(&n->set, name_position_key(&p));
    }
}

void names_keep(struct names *n, struct str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        bool in_name = n->at.is_name && n->at.in_string;
        if (step(&n->at, bytes.p[i])) {
            keep_name(n);
            buf_clear(&n->name);
        } else if (in_name && n->beginnings) {
            buf_add_char(&n->name, bytes.p[i]);
        }
    }
}

struct str names_rest(const struct names *n, const struct name_position *at, struct str name,
                      struct buf *out)
{
    struct name_position p = name_begin(at);
    uint64_t here = name_position_key(at);
    size_t from = SIZE_MAX;

    buf_clear(out);
    buf_add_char(out, '"');
    buf_add_str(out, name);
    buf_add_char(out, '"');
    for (size_t i = 0; i < out->len; i++) {
        if (name_position_key(&p) == here)
            from = i;
        if (step(&p, out->p[i]) && has(&n->set, whole_key(&p)))
            return (struct str){ 0 };
    }
    return from == SIZE_MAX ? (struct str){ 0 } : str_sub(buf_str(out), from, out->len);
}
