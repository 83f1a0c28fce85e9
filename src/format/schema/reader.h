/* reader.h -- what the reader of schemas and its keywords share. Nothing outside format/schema includes
 * it.
 *
 * Shape:   a keyword's function gets the reader, the node that it describes and the keyword's value.
 *          Node pointers move when nodes are added: hold indexes.
 */
#ifndef TRANCHE_FORMAT_SCHEMA_READER_H
#define TRANCHE_FORMAT_SCHEMA_READER_H

#include "format/schema/keyword.h"

struct reader {
    struct schema *s;
    yyjson_val *root;
    enum schema_use use;
    bool draft7;
    struct schema_fault *why;
    const char *keyword;    /* that is being read */
    struct reader_ref *ref; /* references whose targets are not looked up yet */
    uint32_t ref_count;
    struct known *known; /* hash table: where each schema value was read */
    uint32_t known_cap;
    unsigned depth;
};

/* Sets the fault at the keyword that is being read. Returns -1. */
int reader_fault(struct reader *r, uint32_t node, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Reads a schema below `parent`; its index, or SCHEMA_NONE with the fault. step is borrowed from the
 * arena or constant. */
uint32_t reader_schema(struct reader *r, uint32_t parent, struct str step, yyjson_val *value);

/* As schema_to_json_schema, with the path of what is wrong, "properties.name.enum", apart from the message. */
int google_to_json_schema(yyjson_val *schema, struct buf *out, char path[SCHEMA_PATH_BYTES],
                          struct error *e);

/* A regular expression of the schema, compiled; NULL with the fault. */
const struct pattern *reader_pattern(struct reader *r, uint32_t node, struct str text);

int read_type(struct reader *r, uint32_t node, yyjson_val *v);
int read_const(struct reader *r, uint32_t node, yyjson_val *v);
int read_enum(struct reader *r, uint32_t node, yyjson_val *v);
int read_minimum(struct reader *r, uint32_t node, yyjson_val *v);
int read_maximum(struct reader *r, uint32_t node, yyjson_val *v);
int read_exclusive_minimum(struct reader *r, uint32_t node, yyjson_val *v);
int read_exclusive_maximum(struct reader *r, uint32_t node, yyjson_val *v);
int read_multiple_of(struct reader *r, uint32_t node, yyjson_val *v);
int read_count(struct reader *r, uint32_t node, yyjson_val *v); /* minLength, maxItems, ... */
int read_pattern(struct reader *r, uint32_t node, yyjson_val *v);
int read_format(struct reader *r, uint32_t node, yyjson_val *v);
int read_items(struct reader *r, uint32_t node, yyjson_val *v);
int read_prefix_items(struct reader *r, uint32_t node, yyjson_val *v);
int read_additional_items(struct reader *r, uint32_t node, yyjson_val *v);
int read_unique(struct reader *r, uint32_t node, yyjson_val *v);
int read_properties(struct reader *r, uint32_t node, yyjson_val *v);
int read_required(struct reader *r, uint32_t node, yyjson_val *v);
int read_pattern_properties(struct reader *r, uint32_t node, yyjson_val *v);
int read_additional(struct reader *r, uint32_t node, yyjson_val *v);
int read_property_names(struct reader *r, uint32_t node, yyjson_val *v);
int read_ordering(struct reader *r, uint32_t node, yyjson_val *v);
int read_combination(struct reader *r, uint32_t node, yyjson_val *v); /* allOf, anyOf, oneOf */
int read_not(struct reader *r, uint32_t node, yyjson_val *v);
int read_ref(struct reader *r, uint32_t node, yyjson_val *v);
int read_defs(struct reader *r, uint32_t node, yyjson_val *v);
int read_dialect(struct reader *r, uint32_t node, yyjson_val *v);
int read_id(struct reader *r, uint32_t node, yyjson_val *v);
int read_nullable(struct reader *r, uint32_t node, yyjson_val *v);

#endif
