/* fields.h -- the messages of a request as tables, and what their checks share.
 *
 * Why: some forty messages with two hundred fields are checked by one walker, so a field's rules
 * stand in one line of a table, and what no table can say is a rule of its message.
 *
 * Threads: none; the tables are constant.
 * Source:  Vertex AI REST reference, GenerateContentRequest; the proto3 JSON mapping.
 */
#ifndef TRANCHE_FORMAT_REQUEST_FIELDS_H
#define TRANCHE_FORMAT_REQUEST_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/str.h"
#include "format/request/violation.h"

enum field_kind {
    FIELD_STRING,
    FIELD_BOOL,
    FIELD_INTEGER, /* a number or a string of one, as proto3 JSON writes int64 */
    FIELD_NUMBER,
    FIELD_BYTES,    /* base64 */
    FIELD_DURATION, /* "1.5s" */
    FIELD_ENUM,
    FIELD_MESSAGE,
    FIELD_OBJECT, /* free-form */
    FIELD_ANY,    /* free-form, any JSON value */
    FIELD_STRING_MAP,
    FIELD_MESSAGE_MAP,
};
#define FIELD_KINDS 12

struct message;

struct field {
    const char *name; /* camelCase; the snake_case form is derived */
    enum field_kind kind;
    bool repeated, required;
    unsigned char group; /* of one group only one field may be there; 0: in none */
    bool ranged, hi_open;
    double lo, hi;             /* lo <= value <= hi, or < hi when hi_open */
    const char *const *values; /* of an enum: NULL after the last. Written in either case */
    unsigned char numbers;     /* of an enum: its first values may be written as their index; an
                                * empty name is a number that no value has */
    const struct message *message;
    const char *unsupported; /* not NULL: refused, and this is the remedy */
};

/* The place of a value: a step from its parent, as the user wrote it. NULL is the whole line. */
struct place {
    const struct place *up;
    struct str key;
    size_t index;
    bool is_index;
};

/* One line's check. */
struct check {
    struct str line; /* for offsets */
    struct violations *bad;
    bool bare; /* the line is the request itself */
};

typedef void message_rule(struct check *c, const struct place *at, yyjson_val *object);

#define FIELDS_MAX 64

struct message {
    const char *name;
    const struct field *field;
    size_t field_count;  /* at most FIELDS_MAX */
    const char *example; /* how one is written; NULL when its name says enough */
    message_rule *rule;  /* what the fields alone do not say; NULL: nothing */
};

extern const struct message request_message, embed_message, generation_message;
/* The message that an object is, by its members. */
const struct message *request_message_of(yyjson_val *object);

/* The field that a key names, in camelCase or snake_case; NULL when there is none. */
const struct field *message_field(const struct message *m, struct str key);
/* True when key is the camelCase name or its snake_case form. */
bool field_named(const char *camel, struct str key);

/* A member of an object with its key as written. */
struct member {
    struct str key;
    yyjson_val *value;
};
/* Finds a field that is there and not null. */
bool request_member(yyjson_val *object, const char *camel, struct member *out);

/* The values of a field that may be a list or one value alone. */
struct values {
    yyjson_val *next;
    size_t index, count;
    bool list;
};
struct values values_of(yyjson_val *v);     /* NULL gives none */
yyjson_val *values_next(struct values *it); /* NULL after the last */
/* The place of the value that values_next gave: the field's own, or the step below it in a list. */
const struct place *values_place(const struct values *it, struct place *step,
                                 const struct place *field);

bool request_number(yyjson_val *v, double *out);   /* a number or a string of one */
bool request_integer(yyjson_val *v, int64_t *out); /* as above, whole and in int64 */

/* The typed request of an object that message_check found right. */
struct request *request_build(struct arena *a, yyjson_val *root);
struct request *embed_build(struct arena *a, yyjson_val *root);

/* Checks a message and all below it. The value of each enum becomes its name as the table has it, so that
 * every reader meets one spelling. */
void message_check(struct check *c, const struct place *at, const struct message *m,
                   yyjson_val *object);

/* Adds a violation of the value at a path; the caller gives it a message and a remedy. */
struct violation *check_fail_at(struct check *c, struct str path);
/* As above, at a place and with its message. */
struct violation *check_fail(struct check *c, const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void violation_message(struct violation *v, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void violation_remedy(struct violation *v, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A key that m does not have, with the name or the place that was meant. */
void name_unknown(struct check *c, const struct place *at, const struct message *m);
/* A value, text or number, that the enum f does not have. */
void value_unknown(struct check *c, const struct place *at, const struct field *f,
                   yyjson_val *value);
bool lower_equal(struct str a, const char *b); /* ASCII letters in either case */

/* Text of the user's within a message: quoted, escaped, and cut. */
struct quoted {
    char text[128];
};
struct quoted quote(struct str s);

/* Rules of single messages: request_rules.c. */
message_rule rule_request, rule_content, rule_part, rule_blob, rule_file_data, rule_generation,
    rule_schema, rule_function, rule_tool;

#endif
