/* json_write.h -- the one JSON writer: objects, arrays and values, appended to a buffer.
 *
 * Why: commas, quotes and escapes are easy to get wrong by hand, and a name that comes from outside
 * must never be able to break the text. Every place that writes JSON uses this.
 *
 * Shape:   struct json_writer w = JSON_WRITER(&buf);
 *          json_object(&w, NULL);                  {
 *          json_add_text(&w, "name", name);            "name":"...",
 *          json_array(&w, "item");                     "item":[
 *          json_add_uint(&w, NULL, 7);                     7
 *          json_end(&w);                               ]
 *          json_end(&w);                           }
 *          Every call takes the key first: it is a C string in an object, NULL in an array and at the
 *          top. Text and keys are escaped; invalid UTF-8 becomes U+FFFD. No white space is written,
 *          unless w.spaced is set: then ", " and ": ", as Python's json module writes.
 * Errors:  none here; the buffer remembers an overflow (buf_ok). A missing key, a key in an array and
 *          an end without a beginning are programmer's errors and assert.
 * Threads: none; a writer belongs to its caller.
 * Source:  RFC 8259.
 */
#ifndef TRANCHE_BASE_JSON_WRITE_H
#define TRANCHE_BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/str.h"

/* Open objects and arrays at once: a value of JSON_DEPTH_MAX and what may stand around and in it. */
#define JSON_WRITE_DEPTH_MAX 127

struct json_writer {
    struct buf *out;
    uint64_t arrays[2]; /* bit d: what is open at depth d is an array, else an object */
    uint32_t depth;     /* how many are open */
    bool comma;         /* a value stands before the next one */
    bool keyed;         /* json_key has written the key of the next value */
    bool spaced;        /* white space after commas and colons */
};
#define JSON_WRITER(buf) ((struct json_writer){ .out = (buf) })

void json_object(struct json_writer *w, const char *key);
void json_array(struct json_writer *w, const char *key);
void json_end(struct json_writer *w); /* of what was begun last */

void json_add_text(struct json_writer *w, const char *key, struct str value);
void json_add_c(struct json_writer *w, const char *key, const char *value); /* NULL: null */
void json_add_uint(struct json_writer *w, const char *key, uint64_t value);
void json_add_int(struct json_writer *w, const char *key, int64_t value);
/* The shortest decimal that reads back as the same number; not finite gives null. */
void json_add_double(struct json_writer *w, const char *key, double value);
void json_add_float(struct json_writer *w, const char *key, float value);
void json_add_bool(struct json_writer *w, const char *key, bool value);
void json_add_null(struct json_writer *w, const char *key);
/* A parsed value, without white space. Its depth must have been checked (json_check). */
void json_add_value(struct json_writer *w, const char *key, yyjson_val *value);
/* A value that is JSON already. */
void json_add_raw(struct json_writer *w, const char *key, struct str json);
/* printf's output as a string value. */
void json_addf(struct json_writer *w, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* For a value that another function appends to w->out: writes what stands before it. */
void json_value(struct json_writer *w, const char *key);
/* Keys that are not C strings: the next call takes key NULL and is the value. */
void json_key(struct json_writer *w, struct str key);
void json_key_raw(struct json_writer *w, struct str key); /* escaped already, without quotes */

#endif
