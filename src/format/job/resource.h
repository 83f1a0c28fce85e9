/* resource.h -- what the resources of both dialects share: bodies read by tables, members written.
 *
 * Why: a create body may spell its fields in two ways and write one value where a list is expected;
 * what the job keeps of it, and what its resource echoes, has one form. The tables that check a body
 * also say how it is written again.
 *
 * Units:   times in microseconds since 1970.
 * Errors:  INVALID_ARGUMENT: "PATH: the fault. The remedy."
 * Threads: none; all memory is the caller's arena and buffers.
 * Source:  the proto3 JSON mapping; google.aip.dev/142 (times).
 */
#ifndef TRANCHE_FORMAT_JOB_RESOURCE_H
#define TRANCHE_FORMAT_JOB_RESOURCE_H

#include "base/json_write.h"
#include "base/mem.h"
#include "format/request/fields.h"
#include "format/request/request.h"

/* Rows of a table of fields, as in request/fields.c. */
// clang-format off
#define RESOURCE_FIELD(text, ...) { .name = (text), .kind = FIELD_##__VA_ARGS__ }
#define RESOURCE_MESSAGE(text, fields, ...) \
    { .name = (text), .field = (fields), .field_count = ARRAY_LEN(fields), \
      __VA_ARGS__ }
// clang-format on

/* The body as an object of message m, checked whole; NULL with its first error. bytes_max: a longer
 * body is refused before it is parsed. */
yyjson_val *resource_parse(struct arena *a, struct str body, size_t bytes_max,
                           const struct message *m, struct error *e) FALLIBLE;
/* The same of an object that is parsed already; path stands before the path of each error. */
int resource_check(const char *path, const struct message *m, yyjson_val *object,
                   struct error *e) FALLIBLE;
/* The value of an object's member as a list: each value, or the one alone. */
struct values resource_values(yyjson_val *object, const char *camel);

/* An object of message m in its one form: names in camelCase and in the table's order, lists as
 * lists, whole numbers as strings, no nulls. */
void resource_add_message(struct json_writer *w, const char *key, const struct message *m,
                          yyjson_val *object);
/* One field's value in that form. */
void resource_add_field(struct json_writer *w, const char *key, const struct field *f,
                        yyjson_val *value);
/* As int64 is written, a string; 0 is left out. */
void resource_add_int64(struct json_writer *w, const char *key, int64_t value);
/* RFC 3339 with 6 or 9 digits; 0 is left out. */
void resource_add_time(struct json_writer *w, const char *key, int64_t us, int digits);

#endif
