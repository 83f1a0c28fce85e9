/* read.c -- a schema's document as nodes: the walk, the references, and what contradicts itself. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/schema/reader.h"

#define DRAFT7 "draft-07"
#define NAME_SHOWN_BYTES 60 /* of an unknown keyword */
#define REF_SHOWN_BYTES 100

/* A reference whose target is looked up after the walk. */
struct reader_ref {
    uint32_t node;
    struct str target;
};

struct known {
    yyjson_val *value;
    uint32_t node;
};

/* ---- Faults ---- */

void schema_path(const struct schema *s, uint32_t node, const char *keyword,
                 char out[SCHEMA_PATH_BYTES])
{
    struct str step[JSON_DEPTH_MAX + 2];
    struct buf path = BUF_INIT(SCHEMA_PATH_BYTES - 1);
    size_t count = 0;

    if (keyword)
        step[count++] = str_of(keyword);
    for (uint32_t at = node; at && at != SCHEMA_NONE && count < ARRAY_LEN(step);
         at = s->node[at].parent)
        step[count++] = s->node[at].step;
    while (count--) {
        bool odd = keyword && count == 0 && strchr(keyword, '-');
        if (odd) {
            buf_addf(&path, "[\"%s\"]", keyword);
            continue;
        }
        if (path.len)
            buf_add_char(&path, '.');
        buf_add_str(&path, step[count]);
    }
    (void)snprintf(out, SCHEMA_PATH_BYTES, "%s", path.p ? path.p : "");
    buf_release(&path);
}

static int fault_at(struct reader *r, uint32_t node, const char *keyword, const char *remedy,
                    const char *fmt, va_list args)
{
    schema_path(r->s, node, keyword, r->why->path);
    (void)vsnprintf(r->why->message, sizeof r->why->message, fmt, args);
    (void)snprintf(r->why->remedy, sizeof r->why->remedy, "%s", remedy);
    return -1;
}

int reader_fault(struct reader *r, uint32_t node, const char *remedy, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int rc = fault_at(r, node, r->keyword, remedy, fmt, args);
    va_end(args);
    return rc;
}

/* ---- Where a value was read ---- */

static struct known *known_slot(struct reader *r, yyjson_val *value)
{
    uint32_t at = (uint32_t)(((uintptr_t)value >> 4) * 2654435761u) & (r->known_cap - 1);

    while (r->known[at].value && r->known[at].value != value)
        at = (at + 1) & (r->known_cap - 1);
    return &r->known[at];
}

/* ---- The walk ---- */

static uint32_t node_add(struct reader *r, uint32_t parent, struct str step)
{
    struct schema *s = r->s;

    if (s->node_count == SCHEMA_NODES_MAX) {
        r->keyword = NULL;
        (void)reader_fault(r, parent, "Write a smaller schema.",
                           "The schema has more than %d schemas in it.", SCHEMA_NODES_MAX);
        return SCHEMA_NONE;
    }
    s->node = arena_list_grow(&s->arena, s->node, s->node_count, sizeof *s->node);
    s->node[s->node_count] = (struct schema_node){
        .parent = parent,
        .step = step,
        .types = TYPE_ANY,
        .items = SCHEMA_NONE,
        .items_after_list = SCHEMA_NONE,
        .additional = SCHEMA_NONE,
        .negated = SCHEMA_NONE,
        .ref = SCHEMA_NONE,
        .max_length = UINT64_MAX,
        .max_items = UINT64_MAX,
        .max_properties = UINT64_MAX,
    };
    return s->node_count++;
}

/* Draft 7: a $ref stands alone, whatever is beside it. */
static bool is_overridden(const struct reader *r, yyjson_val *object, const char *keyword)
{
    return r->draft7 && strcmp(keyword, "$ref") != 0 && yyjson_is_str(json_get(object, "$ref")) &&
           strcmp(keyword, "definitions") != 0;
}

static int read_member(struct reader *r, uint32_t node, yyjson_val *object, struct str name,
                       yyjson_val *value)
{
    static const struct str extension = STR_INIT("x-");
    const struct keyword *k = schema_keyword_find(name);

    if (!k && str_starts(name, extension))
        return 0; /* a vendor's annotation */
    r->keyword =
        k ? k->name : arena_textf(&r->s->arena, "%.*s", STR_ARG(str_cut(name, NAME_SHOWN_BYTES)));
    if (!k)
        return reader_fault(r, node, "Remove it; docs/reference/schema.md lists the keywords.",
                            "The keyword \"%s\" is unknown.", r->keyword);
    if (is_overridden(r, object, k->name))
        return 0;
    if (k->fate == KEYWORD_REFUSED)
        return reader_fault(r, node, k->remedy, "The keyword \"%s\" is not supported.", k->name);
    return k->read ? k->read(r, node, value) : 0;
}

static int read_object(struct reader *r, uint32_t node, yyjson_val *object)
{
    size_t i, max;
    yyjson_val *key, *value;

    yyjson_obj_foreach(object, i, max, key, value)
    {
        if (read_member(r, node, object, json_str(key), value) < 0)
            return -1;
    }
    return 0;
}

/* Bounds that no value can meet. */
static int contradictions_check(struct reader *r, uint32_t node)
{
    static const char mend[] = "Make the lower bound at most the upper one.";
    const struct schema_node *n = &r->s->node[node];

    r->keyword = "minLength";
    if (n->min_length > n->max_length)
        return reader_fault(r, node, mend, "minLength is above maxLength.");
    r->keyword = "minItems";
    if (n->min_items > n->max_items)
        return reader_fault(r, node, mend, "minItems is above maxItems.");
    r->keyword = "minProperties";
    if (n->min_properties > n->max_properties)
        return reader_fault(r, node, mend, "minProperties is above maxProperties.");
    r->keyword = "required";
    if (n->required_count > n->max_properties)
        return reader_fault(r, node, "Raise maxProperties, or require fewer.",
                            "More properties are required than maxProperties allows.");
    r->keyword = "minimum";
    if (n->minimum.has && n->maximum.has &&
        (n->minimum.value > n->maximum.value ||
         (n->minimum.value >= n->maximum.value && (n->minimum.exclusive || n->maximum.exclusive))))
        return reader_fault(r, node, mend, "No number lies between minimum and maximum.");
    return 0;
}

uint32_t reader_schema(struct reader *r, uint32_t parent, struct str step, yyjson_val *value)
{
    struct known *k = known_slot(r, value);

    if (k->value)
        return k->node;
    if (!yyjson_is_obj(value) && !yyjson_is_bool(value)) {
        (void)reader_fault(r, parent, "Write {\"type\": \"string\"}, for example.",
                           "%.*s must be a schema: an object, true or false.", STR_ARG(step));
        return SCHEMA_NONE;
    }
    uint32_t node = node_add(r, parent, step);
    if (node == SCHEMA_NONE)
        return SCHEMA_NONE;
    *k = (struct known){ value, node };
    if (yyjson_is_bool(value)) {
        r->s->node[node].never = yyjson_is_false(value);
        return node;
    }
    const char *outer = r->keyword;
    if (++r->depth > JSON_DEPTH_MAX) {
        (void)reader_fault(r, parent, "Nest less.", "Schemas nest over %d deep.", JSON_DEPTH_MAX);
        return SCHEMA_NONE;
    }
    if (read_object(r, node, value) < 0 || contradictions_check(r, node) < 0)
        return SCHEMA_NONE;
    /* additionalItems follows a list of items; beside a single schema of items it says nothing. */
    if (yyjson_is_arr(json_get(value, "items")))
        r->s->node[node].items = r->s->node[node].items_after_list;
    r->depth--;
    r->keyword = outer;
    return node;
}

/* ---- References ---- */

int read_ref(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema *s = r->s;

    if (!yyjson_is_str(v))
        return reader_fault(r, node, "Write \"#/$defs/Name\".", "A reference must be a string.");
    r->ref = arena_list_grow(&s->arena, r->ref, r->ref_count, sizeof *r->ref);
    r->ref[r->ref_count++] = (struct reader_ref){ node, json_str(v) };
    return 0;
}

/* One step of a JSON pointer in a URI's fragment, decoded: %XX, then ~1 and ~0. */
static struct str pointer_step(struct arena *a, struct str raw)
{
    char *out = arena_copy(a, raw.p ? raw.p : "", raw.len);
    size_t len = 0, kept = 0;

    for (size_t i = 0; i < raw.len; i++) {
        int high = out[i] == '%' && i + 2 < raw.len ? schema_hex_digit(out[i + 1]) : -1;
        int low = high >= 0 ? schema_hex_digit(out[i + 2]) : -1;
        out[len] = out[i];
        if (low >= 0) {
            out[len] = (char)(high << 4 | low);
            i += 2;
        }
        len++;
    }
    for (size_t i = 0; i < len; i++, kept++) {
        out[kept] = out[i];
        if (out[i] == '~' && i + 1 < len && (out[i + 1] == '0' || out[i + 1] == '1'))
            out[kept] = out[++i] == '0' ? '~' : '/';
    }
    return (struct str){ out, kept };
}

/* The value at "#" and a pointer; NULL when there is none. */
static yyjson_val *pointer_find(struct reader *r, struct str pointer)
{
    yyjson_val *at = r->root;
    size_t from = 1;

    if (pointer.len == 0)
        return at;
    if (pointer.p[0] != '/')
        return NULL;
    while (at && from <= pointer.len) {
        struct str rest = str_sub(pointer, from, pointer.len);
        size_t slash = str_find(rest, STR("/"));
        struct str raw = str_sub(rest, 0, slash == SIZE_MAX ? rest.len : slash);
        struct str step = pointer_step(&r->s->arena, raw);
        uint64_t index;
        from += raw.len + 1;
        if (yyjson_is_obj(at))
            at = yyjson_obj_getn(at, step.p, step.len);
        else
            at = yyjson_is_arr(at) && str_number(step, &index) ? yyjson_arr_get(at, index) : NULL;
    }
    return at;
}

/* The part of a reference behind "#"; false when it names another document. */
static bool is_local(struct reader *r, struct str target, struct str *pointer)
{
    struct str id = json_str(json_get(r->root, "$id"));
    size_t hash = str_find(target, STR("#"));
    struct str document = str_sub(target, 0, hash == SIZE_MAX ? target.len : hash);

    *pointer = hash == SIZE_MAX ? (struct str){ 0 } : str_sub(target, hash + 1, target.len);
    return document.len == 0 || (id.len && str_eq(document, id));
}

static int ref_resolve(struct reader *r, const struct reader_ref *ref)
{
    struct str cut = str_cut(ref->target, REF_SHOWN_BYTES), pointer;
    const char *shown = arena_copy(&r->s->arena, cut.p, cut.len);

    r->keyword = "$ref";
    if (!is_local(r, ref->target, &pointer))
        return reader_fault(r, ref->node, "Copy that schema into $defs and refer to it there.",
                            "\"%s\" is another document, which is never fetched.", shown);
    yyjson_val *target = pointer_find(r, pointer);
    if (!target)
        return reader_fault(r, ref->node, "Refer to a place of this schema: \"#/$defs/Name\".",
                            "\"%s\" points to nothing.", shown);
    uint32_t node = reader_schema(r, 0, pointer, target);
    if (node == SCHEMA_NONE)
        return -1;
    r->s->node[ref->node].ref = node;
    return 0;
}

/* A chain of references that comes back to its beginning says nothing. */
static int ref_cycles_check(struct reader *r)
{
    const struct schema *s = r->s;

    for (uint32_t i = 0; i < s->node_count; i++) {
        uint32_t at = s->node[i].ref;
        for (uint32_t steps = 0; at != SCHEMA_NONE; at = s->node[at].ref, steps++) {
            if (at != i && steps <= s->node_count)
                continue;
            r->keyword = "$ref";
            return reader_fault(r, i, "Refer to a schema that says what the value is.",
                                "The reference leads back to itself.");
        }
    }
    return 0;
}

/* Targets may hold references of their own, which join the list. */
static int refs_resolve(struct reader *r)
{
    for (uint32_t i = 0; i < r->ref_count; i++) {
        const struct reader_ref ref = r->ref[i];
        if (ref_resolve(r, &ref) < 0)
            return -1;
    }
    return ref_cycles_check(r);
}

int read_dialect(struct reader *r, uint32_t node, yyjson_val *v)
{
    if (str_find(json_str(v), STR("json-schema.org/")) != SIZE_MAX)
        return 0;
    return reader_fault(r, node, "Use https://json-schema.org/draft/2020-12/schema, or remove it.",
                        "This dialect of JSON Schema is unknown.");
}

int read_id(struct reader *r, uint32_t node, yyjson_val *v)
{
    (void)v;
    if (node == 0)
        return 0;
    return reader_fault(r, node, "Remove it, and refer by place: \"#/$defs/Name\".",
                        "$id can stand only at the root of a schema.");
}

/* ---- The whole ---- */

uint32_t schema_values_in(yyjson_val *v)
{
    uint32_t count = 1;
    size_t i, max;
    yyjson_val *key, *sub;

    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, sub) count += schema_values_in(sub);
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, max, key, sub) count += schema_values_in(sub);
    }
    return count;
}

static yyjson_val *translate(struct reader *r, yyjson_val *google)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX);
    struct error e = { 0 };
    yyjson_val *out = NULL;
    size_t at;

    *r->why = (struct schema_fault){ .remedy = "Mend the schema." };
    if (google_to_json_schema(google, &text, r->why->path, &e) == 0)
        out = json_parse(&r->s->arena, buf_str(&text), &at, &e);
    if (!out) {
        (void)snprintf(r->why->message, sizeof r->why->message,
                       "The schema cannot be read: %.250s.", e.msg);
    }
    buf_release(&text);
    return out;
}

/* Google's names of what JSON Schema spells with a dollar. */
static void path_to_google(char *path)
{
    size_t kept = 0;

    for (size_t i = 0; path[i]; i++)
        if (path[i] != '$')
            path[kept++] = path[i];
    path[kept] = '\0';
}

static int read_document(struct reader *r, yyjson_val *root)
{
    struct schema *s = r->s;

    r->root = root;
    r->draft7 = str_find(json_str(json_get(root, "$schema")), STR(DRAFT7)) != SIZE_MAX;
    for (r->known_cap = 64; r->known_cap < 2 * schema_values_in(root);)
        r->known_cap *= 2;
    r->known = arena_array(&s->arena, r->known_cap, sizeof *r->known);
    if (reader_schema(r, SCHEMA_NONE, STR(""), root) == SCHEMA_NONE)
        return -1;
    return refs_resolve(r);
}

struct schema *schema_read(yyjson_val *written, enum schema_dialect dialect, enum schema_use use,
                           struct schema_fault *why)
{
    struct schema *s = mem_alloc(sizeof *s);
    struct reader r = { .s = s, .use = use, .why = why };
    yyjson_val *root = dialect == SCHEMA_GOOGLE ? translate(&r, written) : written;

    if (root && read_document(&r, root) == 0)
        return s;
    if (dialect == SCHEMA_GOOGLE)
        path_to_google(why->path);
    schema_free(s);
    return NULL;
}

void schema_free(struct schema *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->pattern_count; i++)
        pattern_free(s->pattern[i]);
    arena_release(&s->arena);
    mem_free(s);
}
