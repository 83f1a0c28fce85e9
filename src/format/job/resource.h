/* resource.h -- what the resources of both dialects share: bodies read by tables, members written.
 *
 * Why: a create body may spell its fields in two ways and write one value where a list is expected;
 * what the job keeps of it, and what its resource echoes, has one form. The tables that check a body
 * also say how it is written again.
 *
 * Units:   times in microseconds since 1970.
 * Errors:  INVALID_ARGUMENT: "PATH: what is wrong. What to do."
 * Threads: none; all memory is the caller's arena and buffers.
 * Source:  the proto3 JSON mapping; google.aip.dev/157 (readMask), 142 (times).
 */
#ifndef TRANCHE_FORMAT_JOB_RESOURCE_H
#define TRANCHE_FORMAT_JOB_RESOURCE_H

#include "format/request/request.h"
#include "base/mem.h"
#include "format/request/fields.h"

/* Rows of a table of fields, as in request_fields.c. */
// clang-format off
#define RESOURCE_FIELD(text, ...) { .name = (text), .kind = FIELD_##__VA_ARGS__ }
#define RESOURCE_MESSAGE(text, fields, ...) \
    { .name = (text), .field = (fields), .field_count = ARRAY_LEN(fields), \
      __VA_ARGS__ }
// clang-format on

/* The body as an object of message m, checked whole; NULL with its first fault. bytes_max: a longer
 * body is refused before it is parsed. */
yyjson_val *resource_parse(struct arena *a, struct str body, size_t bytes_max,
                           const struct message *m, struct error *e) FALLIBLE;
/* The same of an object that is parsed already; path stands before each fault's own. */
int resource_check(const char *path, const struct message *m, yyjson_val *object,
                   struct error *e) FALLIBLE;
/* The value of an object's member as a list: each value, or the one alone. */
struct values resource_values(yyjson_val *object, const char *camel);

/* Any value, compact. Its depth must have been checked. */
void resource_add_value(struct buf *out, yyjson_val *v);
/* An object of message m in its one form: names in camelCase and in the table's order, lists as
 * lists, whole numbers as strings, no nulls. */
void resource_add_message(struct buf *out, const struct message *m, yyjson_val *object);
/* One field's value in that form. */
void resource_add_field(struct buf *out, const struct field *f, yyjson_val *value);

/* An object that is being written: what puts the commas and leaves out what no mask names. */
struct members {
    struct buf *out;
    struct str mask; /* "name,displayName" or "display_name"; empty or "*": all */
    bool any;
};
void members_begin(struct members *m, struct buf *out, struct str mask);
/* Writes "name": and returns true, when the mask wants it. */
bool member_add(struct members *m, const char *name);
void member_add_text(struct members *m, const char *name, struct str value);
void member_add_raw(struct members *m, const char *name, struct str json);
void member_add_count(struct members *m, const char *name, uint64_t value); /* as a number */
/* As int64 is written, a string; 0 is left out. */
void member_add_int64(struct members *m, const char *name, uint64_t value);
void member_add_double(struct members *m, const char *name, double value);
void member_add_bool(struct members *m, const char *name, bool value);
/* RFC 3339 with 6 or 9 digits; 0 is left out. */
void member_add_time(struct members *m, const char *name, int64_t us, int digits);
void members_end(struct members *m);

#endif
