/* check.c -- whether a value matches a schema.
 *
 * Why: an upstream server's answer may differ from its schema, and the grammar of a list of values or of oneOf
 * asks which values match. The walk takes steps, so that no answer costs more than the limits of schema.h.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/schema/node.h"

/* The walk over a value. */
struct check {
    const struct schema *s;
    uint64_t *steps;
    struct buf *path;         /* of the value from the answer's root; NULL: nobody asks */
    struct schema_fault *why; /* NULL: nobody asks */
    unsigned depth;           /* of calls of matches: a schema may lead back to itself */
    bool listed;              /* the value stands in the first schema's enum or const */
};

static bool matches(struct check *c, uint32_t node, yyjson_val *v);

/* ---- Values ---- */

static bool is_integer(yyjson_val *number)
{
    if (!yyjson_is_real(number))
        return yyjson_is_num(number);
    double v = yyjson_get_real(number);
    return isfinite(v) && floor(v) >= v;
}

static unsigned type_of(yyjson_val *v)
{
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL:
        return TYPE_NULL;
    case YYJSON_TYPE_BOOL:
        return TYPE_BOOLEAN;
    case YYJSON_TYPE_NUM:
        return is_integer(v) ? TYPE_INTEGER : TYPE_FRACTION;
    case YYJSON_TYPE_STR:
        return TYPE_STRING;
    case YYJSON_TYPE_ARR:
        return TYPE_ARRAY;
    default:
        return TYPE_OBJECT;
    }
}

static bool same_number(yyjson_val *a, yyjson_val *b)
{
    if (yyjson_is_uint(a) && yyjson_is_uint(b))
        return yyjson_get_uint(a) == yyjson_get_uint(b);
    if (yyjson_is_sint(a) && yyjson_is_sint(b))
        return yyjson_get_sint(a) == yyjson_get_sint(b);
    double x = yyjson_get_num(a), y = yyjson_get_num(b);
    return x >= y && x <= y;
}

/* Equal as JSON values: 1 and 1.0 are, "1" and 1 are not; members in any order. */
static bool equal(yyjson_val *a, yyjson_val *b, uint64_t *steps);

static bool same_arrays(yyjson_val *a, yyjson_val *b, uint64_t *steps)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(b);
    size_t i, max;
    yyjson_val *one;

    if (yyjson_arr_size(a) != yyjson_arr_size(b))
        return false;
    yyjson_arr_foreach(a, i, max, one)
    {
        if (!equal(one, yyjson_arr_iter_next(&it), steps))
            return false;
    }
    return true;
}

static bool same_objects(yyjson_val *a, yyjson_val *b, uint64_t *steps)
{
    size_t i, max;
    yyjson_val *key, *one;

    if (yyjson_obj_size(a) != yyjson_obj_size(b))
        return false;
    yyjson_obj_foreach(a, i, max, key, one)
    {
        struct str name = json_str(key);
        yyjson_val *other = yyjson_obj_getn(b, name.p, name.len);
        if (!other || !equal(one, other, steps))
            return false;
    }
    return true;
}

static bool equal(yyjson_val *a, yyjson_val *b, uint64_t *steps)
{
    if (yyjson_get_type(a) != yyjson_get_type(b))
        return false;
    if (yyjson_is_ctn(a)) {
        steps_take(steps, 1 + yyjson_get_len(a));
        if (*steps == 0)
            return false;
    }
    switch (yyjson_get_type(a)) {
    case YYJSON_TYPE_NUM:
        return same_number(a, b);
    case YYJSON_TYPE_BOOL:
        return yyjson_get_bool(a) == yyjson_get_bool(b);
    case YYJSON_TYPE_STR:
        return str_eq(json_str(a), json_str(b));
    case YYJSON_TYPE_ARR:
        return same_arrays(a, b, steps);
    case YYJSON_TYPE_OBJ:
        return same_objects(a, b, steps);
    default:
        return true;
    }
}

/* ---- Verdicts ---- */

static bool wrong(struct check *c, const char *what, uint32_t node, const char *keyword)
{
    char path[SCHEMA_PATH_BYTES];

    if (!c->path || !c->why || c->why->message[0])
        return false;
    (void)snprintf(c->why->path, sizeof c->why->path, "$%s", c->path->p ? c->path->p : "");
    schema_path(c->s, node, keyword, path);
    (void)snprintf(c->why->message, sizeof c->why->message, "The value %s (%s).", what, path);
    (void)snprintf(c->why->remedy, sizeof c->why->remedy,
                   "Ask again, or use a server that follows schemas.");
    return false;
}

/* Checks a part of the value, with its step in the path. */
static bool part_matches(struct check *c, uint32_t node, yyjson_val *v, const struct str *key,
                         size_t index)
{
    size_t len = c->path ? c->path->len : 0;

    if (c->path) {
        if (!key)
            json_path_index(c->path, index);
        else if (len == 0) /* the first step has its dot, too */
            buf_addf(c->path, ".%.*s", STR_ARG(*key));
        else
            json_path_key(c->path, *key);
    }
    bool ok = matches(c, node, v);
    if (c->path) {
        c->path->len = len;
        if (c->path->p)
            c->path->p[len] = '\0';
    }
    return ok;
}

/* ---- Numbers and strings ---- */

/* Decimal fractions are not exact in binary: a quotient that close to a whole number is rounding. */
static bool is_multiple(double v, double of)
{
    double quotient = v / of, off = fabs(quotient - nearbyint(quotient));

    return isfinite(quotient) && off <= 1e-9 * fmax(1.0, fabs(quotient) * 1e-6);
}

static bool number_matches(struct check *c, uint32_t node, yyjson_val *value)
{
    const struct schema_node *n = &c->s->node[node];
    double v = yyjson_get_num(value);

    if (n->minimum.has && (n->minimum.exclusive ? v <= n->minimum.value : v < n->minimum.value))
        return wrong(c, "is too small", node, "minimum");
    if (n->maximum.has && (n->maximum.exclusive ? v >= n->maximum.value : v > n->maximum.value))
        return wrong(c, "is too large", node, "maximum");
    if (n->multiple_of > 0 && !is_multiple(v, n->multiple_of))
        return wrong(c, "is not a multiple", node, "multipleOf");
    return true;
}

static uint64_t code_points(struct str s)
{
    uint64_t count = 0;

    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return count;
}

static bool string_matches(struct check *c, uint32_t node, yyjson_val *value)
{
    const struct schema_node *n = &c->s->node[node];
    struct str text = json_str(value);

    if (n->min_length || n->max_length != UINT64_MAX) {
        uint64_t length = code_points(text);
        if (length < n->min_length)
            return wrong(c, "is too short", node, "minLength");
        if (length > n->max_length)
            return wrong(c, "is too long", node, "maxLength");
    }
    if (n->pattern && !pattern_finds(n->pattern, text, c->steps))
        return wrong(c, "does not match the pattern", node, "pattern");
    return true;
}

/* ---- Arrays and objects ---- */

static bool elements_unique(struct check *c, yyjson_val *value)
{
    size_t i, max, k, max_k;
    yyjson_val *one, *other;

    yyjson_arr_foreach(value, i, max, one)
    {
        steps_take(c->steps, 1 + i / SCHEMA_COMPARED_IN_STEP);
        yyjson_arr_foreach(value, k, max_k, other)
        {
            if (k >= i)
                break;
            if (*c->steps == 0 || equal(one, other, c->steps))
                return false;
        }
    }
    return true;
}

static bool array_matches(struct check *c, uint32_t node, yyjson_val *value)
{
    const struct schema_node *n = &c->s->node[node];
    size_t i, max;
    yyjson_val *one;

    if (yyjson_arr_size(value) < n->min_items)
        return wrong(c, "has too few elements", node, "minItems");
    if (yyjson_arr_size(value) > n->max_items)
        return wrong(c, "has too many elements", node, "maxItems");
    yyjson_arr_foreach(value, i, max, one)
    {
        uint32_t sub = i < n->prefix.count ? n->prefix.node[i] : n->items;
        if (sub != SCHEMA_NONE && !part_matches(c, sub, one, NULL, i))
            return false;
    }
    if (n->unique && !elements_unique(c, value))
        return wrong(c, "has equal elements", node, "uniqueItems");
    return true;
}

static bool member_matches(struct check *c, const struct schema_node *n, struct str name,
                           yyjson_val *v)
{
    bool known = false;

    for (uint32_t i = 0; i < n->property_count; i++)
        if (str_eq(n->property[i].name, name)) {
            known = true;
            if (!part_matches(c, n->property[i].node, v, &name, 0))
                return false;
        }
    for (uint32_t i = 0; i < n->pattern_property_count; i++)
        if (pattern_finds(n->pattern_property[i].pattern, name, c->steps)) {
            known = true;
            if (!part_matches(c, n->pattern_property[i].node, v, &name, 0))
                return false;
        }
    return known || n->additional == SCHEMA_NONE || part_matches(c, n->additional, v, &name, 0);
}

static bool object_matches(struct check *c, uint32_t node, yyjson_val *value)
{
    const struct schema_node *n = &c->s->node[node];
    size_t i, max;
    yyjson_val *key, *one;

    if (yyjson_obj_size(value) < n->min_properties)
        return wrong(c, "has too few properties", node, "minProperties");
    if (yyjson_obj_size(value) > n->max_properties)
        return wrong(c, "has too many properties", node, "maxProperties");
    for (uint32_t k = 0; k < n->required_count; k++)
        if (!yyjson_obj_getn(value, n->required[k].p, n->required[k].len))
            return wrong(c, "lacks a required property", node, "required");
    yyjson_obj_foreach(value, i, max, key, one)
    {
        if (!member_matches(c, n, json_str(key), one))
            return false;
    }
    return true;
}

/* ---- Combinations ---- */

/* The number of schemas that match; counting stops at two. */
static uint32_t count_matching(struct check *c, const struct schema_list *list, yyjson_val *v)
{
    struct check silent = { .s = c->s, .steps = c->steps, .depth = c->depth };
    uint32_t count = 0;

    for (uint32_t i = 0; i < list->count && count < 2; i++)
        count += matches(&silent, list->node[i], v);
    return count;
}

static bool any_matches(struct check *c, const struct schema_list *list, yyjson_val *v)
{
    struct check silent = { .s = c->s, .steps = c->steps, .depth = c->depth };

    for (uint32_t i = 0; i < list->count; i++)
        if (matches(&silent, list->node[i], v))
            return true;
    return false;
}

static bool combinations_match(struct check *c, uint32_t node, yyjson_val *v)
{
    const struct schema_node *n = &c->s->node[node];
    struct check silent = { .s = c->s, .steps = c->steps, .depth = c->depth };

    if (n->ref != SCHEMA_NONE && !matches(c, n->ref, v))
        return false;
    for (uint32_t i = 0; i < n->all_of.count; i++)
        if (!matches(c, n->all_of.node[i], v))
            return false;
    if (n->any_of.count && !any_matches(c, &n->any_of, v))
        return wrong(c, "matches none of the schemas", node, "anyOf");
    if (n->one_of.count && count_matching(c, &n->one_of, v) != 1)
        return wrong(c, "does not match exactly one of the schemas", node, "oneOf");
    if (n->negated != SCHEMA_NONE && matches(&silent, n->negated, v))
        return wrong(c, "matches a schema that it must not", node, "not");
    return true;
}

static bool is_listed(struct check *c, yyjson_val *values, yyjson_val *v)
{
    size_t i, max;
    yyjson_val *one;

    steps_take(c->steps, 1 + yyjson_arr_size(values) / SCHEMA_COMPARED_IN_STEP);
    yyjson_arr_foreach(values, i, max, one)
    {
        if (equal(one, v, c->steps))
            return true;
    }
    return false;
}

static bool keywords_match(struct check *c, uint32_t node, yyjson_val *v)
{
    const struct schema_node *n = &c->s->node[node];
    unsigned type = type_of(v);

    if (n->never)
        return wrong(c, "is not allowed", node, NULL);
    if (!(n->types & type))
        return wrong(c, "is of another type", node, "type");
    bool listed = c->listed;
    c->listed = false;
    if (n->constant && (!listed || n->values) && !equal(n->constant, v, c->steps))
        return wrong(c, "is not the constant", node, "const");
    if (n->values && (!listed || n->constant) && !is_listed(c, n->values, v))
        return wrong(c, "is not among the values", node, "enum");
    if ((type & TYPE_NUMBER) && !number_matches(c, node, v))
        return false;
    if (type == TYPE_STRING && !string_matches(c, node, v))
        return false;
    if (type == TYPE_ARRAY && !array_matches(c, node, v))
        return false;
    if (type == TYPE_OBJECT && !object_matches(c, node, v))
        return false;
    return combinations_match(c, node, v);
}

static bool matches(struct check *c, uint32_t node, yyjson_val *v)
{
    if (*c->steps == 0 || c->depth == SCHEMA_CHECK_DEPTH_MAX)
        return wrong(c, "takes too long to check", node, NULL);
    --*c->steps;
    c->depth++;
    bool ok = keywords_match(c, node, v);
    c->depth--;
    return ok;
}

bool schema_names_have(const struct str *name, uint32_t count, struct str wanted)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_eq(name[i], wanted))
            return true;
    return false;
}

bool schema_node_matches(const struct schema *s, uint32_t node, yyjson_val *value, uint64_t *steps)
{
    struct check c = { .s = s, .steps = steps };

    return matches(&c, node, value);
}

bool schema_listed_matches(const struct schema *s, uint32_t node, yyjson_val *value,
                           uint64_t *steps)
{
    struct check c = { .s = s, .steps = steps, .listed = true };

    return matches(&c, node, value);
}

bool schema_matches(const struct schema *s, yyjson_val *value, struct schema_fault *why)
{
    uint64_t steps =
        SCHEMA_CHECK_STEPS_MAX + (uint64_t)schema_values_in(value) * SCHEMA_CHECK_STEPS_A_VALUE;
    struct buf path = BUF_INIT(SCHEMA_PATH_BYTES - 2);
    struct check c = { .s = s, .steps = &steps, .path = &path, .why = why };

    *why = (struct schema_fault){ 0 };
    bool ok = matches(&c, 0, value);
    if (steps == 0) { /* under a not, giving up would pass for a match; elsewhere for a mismatch */
        *why = (struct schema_fault){ 0 };
        ok = wrong(&c, "takes too long to check", 0, NULL);
    }
    buf_release(&path);
    return ok;
}
