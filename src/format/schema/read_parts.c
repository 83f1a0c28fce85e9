/* read_parts.c -- keywords that hold schemas: elements, properties, combinations, definitions. */
#include <stdio.h>
#include <string.h>

#include "format/schema/reader.h"

#define STEP_BYTES 96

/* "properties.name", "anyOf[1]": in the arena. */
static struct str step_named(struct reader *r, const char *keyword, struct str name)
{
    struct buf text = BUF_INIT(STEP_BYTES);

    buf_add_c(&text, keyword);
    json_path_key(&text, str_cut(name, STEP_BYTES / 2));
    struct str out = { arena_copy(&r->s->arena, text.p, text.len), text.len };
    buf_release(&text);
    return out;
}

static struct str step_numbered(struct reader *r, const char *keyword, size_t index)
{
    char text[STEP_BYTES];
    int len = snprintf(text, sizeof text, "%s[%zu]", keyword, index);

    return (struct str){ arena_copy(&r->s->arena, text, (size_t)len), (size_t)len };
}

static struct str step_plain(struct reader *r)
{
    return (struct str){ arena_copy(&r->s->arena, r->keyword, strlen(r->keyword)),
                         strlen(r->keyword) };
}

/* ---- Lists of schemas ---- */

static int read_list(struct reader *r, uint32_t node, yyjson_val *v, struct schema_list *out)
{
    const char *keyword = r->keyword;
    size_t i, max;
    yyjson_val *one;

    if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0)
        return reader_fault(r, node, "Write a list with at least one schema.",
                            "%s must be a list of schemas.", keyword);
    uint32_t *list = arena_array(&r->s->arena, yyjson_arr_size(v), sizeof *list);
    yyjson_arr_foreach(v, i, max, one)
    {
        list[i] = reader_schema(r, node, step_numbered(r, keyword, i), one);
        if (list[i] == SCHEMA_NONE)
            return -1;
        r->keyword = keyword;
    }
    *out = (struct schema_list){ list, (uint32_t)yyjson_arr_size(v) };
    return 0;
}

/* allOf, anyOf and oneOf differ in the list that they fill. */
int read_combination(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema_list list;

    if (read_list(r, node, v, &list) < 0)
        return -1;
    struct schema_node *n = &r->s->node[node];
    if (strcmp(r->keyword, "allOf") == 0)
        n->all_of = list;
    else if (strcmp(r->keyword, "anyOf") == 0)
        n->any_of = list;
    else
        n->one_of = list;
    return 0;
}

int read_not(struct reader *r, uint32_t node, yyjson_val *v)
{
    uint32_t sub = reader_schema(r, node, step_plain(r), v);

    if (sub == SCHEMA_NONE)
        return -1;
    r->s->node[node].negated = sub;
    return 0;
}

/* ---- Arrays ---- */

int read_prefix_items(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema_list list;

    if (yyjson_is_arr(v) && yyjson_arr_size(v) == 0)
        return 0;
    if (read_list(r, node, v, &list) < 0)
        return -1;
    r->s->node[node].prefix = list;
    return 0;
}

/* A list of items is draft 7's prefixItems. */
int read_items(struct reader *r, uint32_t node, yyjson_val *v)
{
    if (yyjson_is_arr(v))
        return read_prefix_items(r, node, v);
    uint32_t items = reader_schema(r, node, step_plain(r), v);
    if (items == SCHEMA_NONE)
        return -1;
    r->s->node[node].items = items;
    return 0;
}

/* It speaks of what follows a list of items; without one it says nothing. */
int read_additional_items(struct reader *r, uint32_t node, yyjson_val *v)
{
    uint32_t items = reader_schema(r, node, step_plain(r), v);

    if (items == SCHEMA_NONE)
        return -1;
    r->s->node[node].items_after_list = items;
    return 0;
}

/* ---- Objects ---- */

static int read_map(struct reader *r, uint32_t node, yyjson_val *v, struct schema_property **out,
                    uint32_t *count)
{
    const char *keyword = r->keyword;
    size_t i, max;
    yyjson_val *key, *one;

    if (!yyjson_is_obj(v))
        return reader_fault(r, node, "Write {\"name\": {\"type\": \"string\"}}, for example.",
                            "%s must be an object of schemas.", keyword);
    if (yyjson_obj_size(v) > SCHEMA_PROPERTIES_MAX)
        return reader_fault(r, node, "Split the object.", "%s has more than %d members.", keyword,
                            SCHEMA_PROPERTIES_MAX);
    *count = (uint32_t)yyjson_obj_size(v);
    *out = arena_array(&r->s->arena, *count ? *count : 1, sizeof **out);
    yyjson_obj_foreach(v, i, max, key, one)
    {
        struct schema_property *p = &(*out)[i];
        p->name = json_str(key);
        p->node = reader_schema(r, node, step_named(r, keyword, p->name), one);
        if (p->node == SCHEMA_NONE)
            return -1;
        r->keyword = keyword;
    }
    return 0;
}

/* Moves the properties that an ordering names to the front, in its order. */
static void order(struct schema_property *property, uint32_t count, yyjson_val *names)
{
    uint32_t placed = 0;
    size_t i, max;
    yyjson_val *name;

    yyjson_arr_foreach(names, i, max, name)
    {
        uint32_t at = placed;
        while (at < count && !str_eq(property[at].name, json_str(name)))
            at++;
        if (at == count)
            continue;
        struct schema_property taken = property[at];
        memmove(&property[placed + 1], &property[placed], (at - placed) * sizeof *property);
        property[placed++] = taken;
    }
}

int read_properties(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema_property *property;
    uint32_t count;

    if (read_map(r, node, v, &property, &count) < 0)
        return -1;
    if (r->s->node[node].ordering)
        order(property, count, r->s->node[node].ordering);
    r->s->node[node].property = property;
    r->s->node[node].property_count = count;
    return 0;
}

int read_ordering(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema_node *n = &r->s->node[node];

    if (!yyjson_is_arr(v) || yyjson_arr_size(v) > SCHEMA_PROPERTIES_MAX)
        return reader_fault(r, node, "Write a list of names of properties.",
                            "propertyOrdering must be a list of at most %d names.",
                            SCHEMA_PROPERTIES_MAX);
    n->ordering = v;
    order(n->property, n->property_count, v);
    return 0;
}

int read_required(struct reader *r, uint32_t node, yyjson_val *v)
{
    size_t i, max;
    yyjson_val *one;
    uint32_t count = 0;

    if (!yyjson_is_arr(v) || yyjson_arr_size(v) > SCHEMA_PROPERTIES_MAX)
        return reader_fault(r, node, "Write a list of names.",
                            "required must be a list of at most %d names.", SCHEMA_PROPERTIES_MAX);
    struct str *name = arena_array(&r->s->arena, yyjson_arr_size(v) + 1, sizeof *name);
    yyjson_arr_foreach(v, i, max, one)
    {
        if (!yyjson_is_str(one))
            return reader_fault(r, node, "Write a list of names.",
                                "required must be a list of names.");
        if (!schema_names_have(name, count, json_str(one)))
            name[count++] = json_str(one);
    }
    r->s->node[node].required = name;
    r->s->node[node].required_count = count;
    return 0;
}

int read_pattern_properties(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema_property *property;
    uint32_t count;

    if (read_map(r, node, v, &property, &count) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        property[i].pattern = reader_pattern(r, node, property[i].name);
        if (!property[i].pattern)
            return -1;
    }
    r->s->node[node].pattern_property = property;
    r->s->node[node].pattern_property_count = count;
    return 0;
}

/* Libraries write {"type": "string"} for every map: a name is no less than that. */
int read_property_names(struct reader *r, uint32_t node, yyjson_val *v)
{
    bool plain = yyjson_is_true(v) || (yyjson_is_obj(v) && yyjson_obj_size(v) == 0) ||
                 (yyjson_is_obj(v) && yyjson_obj_size(v) == 1 &&
                  str_eq_c(json_str(json_get(v, "type")), "string"));

    return plain ? 0
                 : reader_fault(r, node, "Use patternProperties with additionalProperties false.",
                                "propertyNames is not supported.");
}

int read_additional(struct reader *r, uint32_t node, yyjson_val *v)
{
    uint32_t sub = reader_schema(r, node, step_plain(r), v);

    if (sub == SCHEMA_NONE)
        return -1;
    r->s->node[node].additional = sub;
    return 0;
}

/* ---- Definitions ---- */

/* Each is read, though no reference may reach it: a definition that is wrong is a fault too. */
int read_defs(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema_property *unused;
    uint32_t count;

    return read_map(r, node, v, &unused, &count);
}
