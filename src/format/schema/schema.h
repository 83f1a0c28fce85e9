/* schema.h -- a schema that answers must follow: read once, then made into a grammar or used to check.
 *
 * Why: nothing that a user writes in a schema may be dropped in silence. One reader, from one table of
 * keywords (keyword.c), either takes a keyword or refuses it with its place and a remedy; what it took
 * is followed by the embedded engine's grammar and by the check of an upstream server's answer alike.
 *
 * In:      JSON Schema (draft 2020-12; draft 7 where "$schema" says so) or Google's Schema, which is
 *          translated first (google.c). References may point to any place of the same document.
 * Out:     a grammar for the embedded engine (Lark text, grammar.c), or a verdict on a value.
 * Cost:    bounded by the limits below, which count steps and bytes, never time: an answer must not
 *          depend on the machine's load.
 * Errors:  a fault names the JSON path from the schema's root, what is wrong, and the remedy.
 * Threads: a schema may be used by any number of threads once it is read; it changes no more.
 * Source:  https://json-schema.org/draft/2020-12; Vertex AI REST reference, Schema.
 */
#ifndef TRANCHE_FORMAT_SCHEMA_SCHEMA_H
#define TRANCHE_FORMAT_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "format/request/request.h" /* SCHEMA_PROPERTIES_MAX */

#define SCHEMA_BYTES_MAX ((size_t)256 * 1024) /* of the text; also of its translation */
#define SCHEMA_NODES_MAX 10000         /* schemas within the schema, and targets of references */
#define SCHEMA_ENUM_MAX 5000           /* values of one enum */
#define SCHEMA_COUNT_MAX 1000000       /* of minItems, maxLength and the like */
#define SCHEMA_PATTERN_BYTES_MAX 1000  /* of one pattern */
#define SCHEMA_PATTERN_REPEAT_MAX 1000 /* copies that a pattern's counted repetitions make */
#define SCHEMA_PATTERN_DEPTH_MAX 64    /* groups of a pattern within each other */
#define SCHEMA_PATTERN_OVERLAP_MAX                                                                 \
    400 /* counts of repetitions that can begin anywhere, multiplied */
#define SCHEMA_LITERAL_BYTES_MAX ((size_t)16 * 1024) /* of one value of const or enum, as JSON */
#define SCHEMA_STATES_MAX 3000    /* combinations of schemas that hold for one value */
#define SCHEMA_RULES_MAX 30000    /* of a grammar */
#define SCHEMA_KEY_PATTERNS_MAX 4 /* patternProperties that meet in one object */
#define SCHEMA_NAMES_LISTED_MAX                                                                    \
    100 /* names of one pattern that are declared one by one; of all patterns, asked for */
#define SCHEMA_NAME_BYTES_MAX 100   /* of such a name */
#define SCHEMA_NAMES_KEPT_MAX 1000  /* names that answers can fall back on, of all objects */
#define SCHEMA_LEAVES_MAX 600       /* different patterns, formats and bounds of numbers */
#define SCHEMA_REMAINDERS_MAX 50000 /* of all multipleOf together: 25 has 25, 0.25 too */
#define SCHEMA_GRAMMAR_BYTES_MAX ((size_t)2 * 1024 * 1024)
/* Steps of one check: schemas that are compared with values. Each value of an answer adds some, so that a
 * long list passes and many alternatives do not. */
#define SCHEMA_CHECK_STEPS_MAX 1000000
#define SCHEMA_CHECK_STEPS_A_VALUE 50
/* Schemas within schemas and values within values, together, that a check goes into. */
#define SCHEMA_CHECK_DEPTH_MAX 400
#define SCHEMA_DISJOINT_DEPTH 4 /* levels down to which schemas of oneOf are compared */
#define SCHEMA_REMAINDERS_EACH                                                                     \
    2000 /* of a multipleOf that an expression counts; of others some are named: */
#define SCHEMA_MULTIPLES_NAMED 500 /* on each side of zero, or twice as many from a bound */

enum schema_dialect { SCHEMA_JSON, SCHEMA_GOOGLE };
/* GRAMMAR: the embedded engine makes only answers that match. CHECK: an upstream server answers, and the
 * answer is checked; that takes keywords which no grammar can follow. */
enum schema_use { SCHEMA_GRAMMAR, SCHEMA_CHECK };

#define SCHEMA_PATH_BYTES 160
#define SCHEMA_TEXT_BYTES 320
struct schema_fault {
    char path[SCHEMA_PATH_BYTES];    /* "properties.name.pattern"; "" for the schema itself */
    char message[SCHEMA_TEXT_BYTES]; /* one sentence with its full stop */
    char remedy[SCHEMA_TEXT_BYTES];  /* one sentence with its full stop */
};

struct schema;
/* NULL with the first fault. `written` must live as long as the schema in the JSON dialect. */
struct schema *schema_read(yyjson_val *written, enum schema_dialect dialect, enum schema_use use,
                           struct schema_fault *why);
void schema_free(struct schema *s); /* accepts NULL */

/* Google's Schema as JSON Schema text, properties in propertyOrdering's order. INVALID_ARGUMENT for what
 * JSON Schema cannot say, with the path to it. */
int schema_to_json_schema(yyjson_val *schema, struct buf *out, struct error *e) FALLIBLE;

/* The grammar of all JSON texts that the engine may write for this schema: ", " and ": " between
 * elements and no other white space, properties in the order of the schema. False with the fault of
 * what no grammar can follow, or of a schema that no value matches. */
bool schema_grammar(struct schema *s, struct buf *out, struct schema_fault *why);
/* The same as a part of a larger grammar: its rules "rN" and terminals "TN" have the next numbers, and no rule
 * is called start. Zeroed before the first part. */
struct schema_parts {
    uint32_t rules, terminals; /* so far */
    uint32_t start;            /* the rule of the part that was made last */
};
bool schema_grammar_part(struct schema *s, struct schema_parts *parts, struct buf *out,
                         struct schema_fault *why);
/* The grammar of the values of an enum as plain text, without quotes. */
bool schema_enum_grammar(yyjson_val *values, struct buf *out, struct schema_fault *why);
/* True when patterns decide which names an object of the grammar may have beside those that it declares: then
 * a name can be begun that ends only as one that is there. */
bool schema_limits_names(const struct schema *s);
/* Names that objects may have by a pattern: as many as their minProperties ask for, at least. They live as
 * long as the schema. */
const struct str *schema_pattern_names(const struct schema *s, uint32_t *count);
/* A regular expression that stands in a grammar, by itself: the engine compiles them one by one to
 * find the place of one that it cannot take. False after the last. */
struct schema_leaf {
    struct str json; /* a small JSON Schema: {"type":"string","pattern":"^a+$"} */
    char path[SCHEMA_PATH_BYTES];
};
bool schema_leaf_at(const struct schema *s, uint32_t i, struct schema_leaf *out);

/* True when a value matches. When it does not, *why has the value's path, "$.items[2].price", and what it
 * should be. A check over SCHEMA_CHECK_STEPS_MAX, or a pattern over its limits, does not match. */
bool schema_matches(const struct schema *s, yyjson_val *value, struct schema_fault *why);

/* One keyword of the table, for the documentation. False after the last. */
struct schema_keyword_info {
    const char *name;
    const char *embedded; /* "followed", "ignored" or "refused" by the embedded engine */
    const char *upstream; /* "checked", "ignored" or "refused" */
    const char *about;
};
bool schema_keyword_at(uint32_t i, struct schema_keyword_info *out);

#endif
