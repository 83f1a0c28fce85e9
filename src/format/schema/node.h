/* node.h -- a schema after reading: one node for each schema in the document.
 *
 * Why: the grammar and the check ask the same questions of a schema (types, bounds, properties) many
 * times; the reader answers them once. Nothing outside format/schema includes this.
 *
 * Shape:   nodes refer to each other by index; SCHEMA_NONE is not a node. Node 0 is the root. Lists, names
 *          and texts live in the schema's arena or in the document.
 */
#ifndef TRANCHE_FORMAT_SCHEMA_NODE_H
#define TRANCHE_FORMAT_SCHEMA_NODE_H

#include "base/mem.h"
#include "format/schema/pattern.h"
#include "format/schema/schema.h"

#define SCHEMA_NONE UINT32_MAX

/* Sets of types. INTEGER is a part of NUMBER: a set with NUMBER has both bits. */
enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_FRACTION = 8, /* numbers that are not integers */
    TYPE_NUMBER = TYPE_INTEGER | TYPE_FRACTION,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ANY = 127
};

struct schema_bound {
    bool has, exclusive;
    double value;
};

struct schema_list {
    const uint32_t *node;
    uint32_t count;
};

struct schema_property {
    struct str name;               /* or the pattern */
    const struct pattern *pattern; /* of patternProperties */
    uint32_t node;
};

struct schema_format {
    const char *name;
    const char *pattern; /* anchored; NULL: it allows every string */
};

struct schema_node {
    uint32_t parent; /* SCHEMA_NONE at the root */
    struct str step; /* from the parent: "properties.name", "anyOf[1]" */
    bool never;      /* the schema `false` */
    bool empty;      /* no keyword that says anything: true, {} */
    unsigned types;

    yyjson_val *constant, *values; /* const, enum; NULL: absent */

    struct schema_bound minimum, maximum;
    double multiple_of; /* 0: none */

    uint64_t min_length, max_length; /* code points */
    const struct pattern *pattern;
    const struct schema_format *format;

    struct schema_list prefix; /* of an array's first elements */
    uint32_t items;            /* of those after them */
    uint32_t items_after_list; /* the same in draft 7, where items is a list */
    uint64_t min_items, max_items;
    bool unique;

    struct schema_property *property;
    uint32_t property_count;
    yyjson_val *ordering; /* of their names; NULL: as written */
    const struct str *required;
    uint32_t required_count;
    const struct schema_property *pattern_property;
    uint32_t pattern_property_count;
    uint32_t additional;
    uint64_t min_properties, max_properties;

    struct schema_list all_of, any_of, one_of;
    uint32_t negated; /* not */
    uint32_t ref;     /* what $ref points to */
};

struct schema {
    struct arena arena;
    struct schema_node *node;
    uint32_t node_count;
    struct pattern **pattern; /* compiled; freed with the schema */
    uint32_t pattern_count;
    struct schema_leaf *leaf;
    uint32_t leaf_count;
    bool limits_names; /* see schema_limits_names */
    struct str *name;  /* see schema_pattern_names */
    uint32_t name_count;
};

/* Comparisons of names or plain values that cost as much as one step. */
#define SCHEMA_COMPARED_IN_STEP 64
static inline void steps_take(uint64_t *steps, uint64_t count)
{
    *steps -= count < *steps ? count : *steps;
}

/* Its value, or -1. */
static inline int schema_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The path of a node from the root, and a keyword of it (NULL: the node itself). */
void schema_path(const struct schema *s, uint32_t node, const char *keyword,
                 char out[SCHEMA_PATH_BYTES]);
const struct schema_format *schema_format_find(struct str name);
/* "date, date-time, ..." for messages. */
const char *schema_format_names(void);
bool schema_names_have(const struct str *name, uint32_t count, struct str wanted);
/* As schema_matches, from a node, with the steps that are left. */
bool schema_node_matches(const struct schema *s, uint32_t node, yyjson_val *value, uint64_t *steps);
/* The same for a value that is known to stand in the node's enum or const. */
bool schema_listed_matches(const struct schema *s, uint32_t node, yyjson_val *value,
                           uint64_t *steps);
/* The number of values in a value, itself among them. */
uint32_t schema_values_in(yyjson_val *v);

#endif
