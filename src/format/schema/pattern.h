/* pattern.h -- regular expressions of a schema.
 *
 * Why: a pattern is searched in a string (ECMA-262, not anchored) by the check, and stands in a
 * grammar for the names of properties, where it must be a whole match.
 *
 * Errors:  a pattern that cannot be taken gives the reason in words.
 * Limits:  PATTERN_MATCH_LIMIT calls and PATTERN_HEAP_KIB of the matcher.
 * Threads: a compiled pattern may be used by any number of threads.
 * Source:  PCRE2 (https://pcre2project.github.io); ECMA-262, RegExp.
 */
#ifndef TRANCHE_FORMAT_SCHEMA_PATTERN_H
#define TRANCHE_FORMAT_SCHEMA_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

/* Calls of PCRE2's internal match function: most searches end within the first limit, and are cheap. */
#define PATTERN_MATCH_CHEAP 2000
#define PATTERN_MATCH_LIMIT 200000
#define PATTERN_HEAP_KIB 16384
/* Steps that a search takes from those of its caller. */
#define PATTERN_STEPS_CHEAP 10
#define PATTERN_STEPS 20000

struct pattern;
struct pattern *pattern_new(struct str text, struct error *e);
void pattern_free(struct pattern *p); /* accepts NULL */
struct str pattern_text(const struct pattern *p);
/* The first thing in the pattern that no grammar can follow, in words; NULL: there is none. */
const char *pattern_irregular(const struct pattern *p);
/* The largest counted repetition that can begin at many characters of a text, because no ^ stands before it
 * or a repetition without a limit does: a grammar's lexer follows all of its beginnings at once. At least 1. */
#define PATTERN_OVERLAP_LEAST 4 /* of a pattern without ^ */
uint64_t pattern_overlap(const struct pattern *p);
/* Takes steps from *steps. With none left nothing is found; a search beyond the limits leaves none. */
bool pattern_finds(const struct pattern *p, struct str text, uint64_t *steps);
/* The pattern as llguidance reads regular expressions. */
void pattern_write(const struct pattern *p, struct buf *out);
/* The pattern as a Lark terminal that matches a whole text: "(/(?s:.*)a/ | /b(?s:.*)/)". False when an
 * anchor stands elsewhere than at an alternative's beginning or end. */
bool pattern_write_whole(const struct pattern *p, struct buf *out);
/* The different texts that the pattern matches as a whole, in the arena, in the order of the pattern; gives
 * how many, or cap + 1 when there are more or nobody knows. Takes steps from *steps. */
uint32_t pattern_texts(const struct pattern *p, uint32_t cap, struct arena *a, struct str **out,
                       uint64_t *steps);
/* At most cap different texts of which the pattern may match some as a whole; 0 when it is not understood. */
uint32_t pattern_sample(const struct pattern *p, uint32_t cap, struct arena *a, struct str **out,
                        uint64_t *steps);
/* One past the class that opens at `at` of a pattern's text p. */
size_t pattern_class_end(struct str p, size_t at);

#endif
