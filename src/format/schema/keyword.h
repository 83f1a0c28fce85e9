/* keyword.h -- the table of keywords: who follows each, and what reads it.
 *
 * Why: the reader, the refusals and the documentation must say the same. A keyword that is not in the
 * table is refused.
 */
#ifndef TRANCHE_FORMAT_SCHEMA_KEYWORD_H
#define TRANCHE_FORMAT_SCHEMA_KEYWORD_H

#include "format/schema/node.h"

/* The fate of a keyword. */
enum keyword_fate {
    KEYWORD_FOLLOWED,   /* by the grammar and by the check */
    KEYWORD_CHECKED,    /* by the check only: refused for the embedded engine */
    KEYWORD_ANNOTATION, /* says nothing about the answer */
    KEYWORD_REFUSED,
};

struct reader;
struct keyword {
    const char *name;
    enum keyword_fate fate;
    /* Reads the value into the node; sets the fault and returns -1. NULL: nothing to read. */
    int (*read)(struct reader *r, uint32_t node, yyjson_val *value);
    const char *about;
    const char *remedy; /* of a refused one */
};

extern const struct keyword schema_keywords[];
extern const uint32_t schema_keyword_count;
const struct keyword *schema_keyword_find(struct str name);
const char *schema_keyword_remedy(const char *name); /* of one in the table */

#endif
