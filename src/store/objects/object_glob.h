/* object_glob.h -- a pattern of object names, compiled once for many names.
 *
 * Why: a client sends the pattern and the names may be a bucket's 200,000, so no pattern may take more
 * than (pattern x name) steps: it is an automaton whose states are all followed at once, never
 * a search that turns back.
 *
 * Shape:   * any run without '/', ** any run, "**" and "/" at the start of a step also nothing; ? one
 *          character but '/'; [a-z] [!a-z] [^a-z] one of a set, never '/'; {a,b} alternatives, which
 *          nest; \ takes the next character as it is. A bracket or brace that is not closed stands for itself.
 * Units:   characters are code points; names are valid UTF-8.
 * Threads: none; a compiled one belongs to its arena's owner (it holds its working state).
 * Source:  https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-object-glob
 */
#ifndef TRANCHE_STORE_OBJECTS_OBJECT_GLOB_H
#define TRANCHE_STORE_OBJECTS_OBJECT_GLOB_H

#include <stdbool.h>

#include "base/mem.h"
#include "base/str.h"

#define GLOB_BYTES_MAX 1024

struct glob;
/* NULL when the pattern is over GLOB_BYTES_MAX. It lives in the arena; text stays borrowed. */
struct glob *glob_compile(struct arena *a, struct str text);
bool glob_match(struct glob *g, struct str name);
/* The beginning that all matching names share: a part of the pattern's text, maybe empty. */
struct str glob_prefix(const struct glob *g);

#endif
