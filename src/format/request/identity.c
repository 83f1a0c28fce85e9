/* identity.c -- a request in one spelling: the bytes by which equal requests are recognised.
 *
 * Why: an answer may be used again only for the same request. Spellings of names, the order of members,
 * space, the two ways to write a list of one, numbers in strings, and defaults that are written down change
 * no answer. All else counts: two requests with the same bytes here mean the same.
 *
 * Shape:   a message is its fields by name, in the order of the table; a text has its length before it.
 *          Free-form values keep the order of their members, as the order of a schema's properties matters.
 */
#include <assert.h>
#include <string.h>

#include "format/request/fields.h"
#include "format/request/request.h"

static void add_text(struct buf *out, char kind, struct str text)
{
    char head[1 + sizeof text.len] = { kind };

    memcpy(head + 1, &text.len, sizeof text.len);
    buf_add(out, head, sizeof head);
    buf_add_str(out, text);
}

static void add_number(struct buf *out, yyjson_val *v)
{
    int64_t whole;
    double d = 0;

    if (request_integer(v, &whole)) {
        buf_add_char(out, 'i');
        buf_add(out, &whole, sizeof whole);
        return;
    }
    (void)request_number(v, &d);
    buf_add_char(out, 'd');
    buf_add(out, &d, sizeof d);
}

/* A value of any form, as it is. */
static void add_any(struct buf *out, yyjson_val *v) // NOLINT(misc-no-recursion): depth is checked
{
    yyjson_val *item, *key;

    if (yyjson_is_str(v)) {
        add_text(out, 's', json_str(v));
    } else if (yyjson_is_num(v)) {
        add_number(out, v);
    } else if (yyjson_is_arr(v)) {
        yyjson_arr_iter it = yyjson_arr_iter_with(v);
        buf_add_char(out, '[');
        while ((item = yyjson_arr_iter_next(&it)))
            add_any(out, item);
        buf_add_char(out, ']');
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_iter it = yyjson_obj_iter_with(v);
        buf_add_char(out, '{');
        while ((key = yyjson_obj_iter_next(&it))) {
            add_text(out, 'k', json_str(key));
            add_any(out, yyjson_obj_iter_get_val(key));
        }
        buf_add_char(out, '}');
    } else {
        buf_add_char(out, yyjson_is_true(v) ? 't' : yyjson_is_false(v) ? 'f' : 'n');
    }
}

static void add_message(struct buf *out, const struct message *m, yyjson_val *object);

static void add_map(struct buf *out, const struct message *m, // NOLINT(misc-no-recursion)
                    yyjson_val *map)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(map);
    yyjson_val *key;

    buf_add_char(out, '{');
    while ((key = yyjson_obj_iter_next(&it))) {
        add_text(out, 'k', json_str(key));
        add_message(out, m, yyjson_obj_iter_get_val(key));
    }
    buf_add_char(out, '}');
}

static void add_value(struct buf *out, const struct field *f, // NOLINT(misc-no-recursion)
                      yyjson_val *v)
{
    switch (f->kind) {
    case FIELD_INTEGER:
    case FIELD_NUMBER:
        add_number(out, v);
        break;
    case FIELD_MESSAGE:
        add_message(out, f->message, v);
        break;
    case FIELD_MESSAGE_MAP:
        add_map(out, f->message, v);
        break;
    case FIELD_STRING:
    case FIELD_BOOL:
    case FIELD_BYTES:
    case FIELD_DURATION:
    case FIELD_ENUM: /* message_check gave it the table's spelling */
    case FIELD_OBJECT:
    case FIELD_ANY:
    case FIELD_STRING_MAP:
        add_any(out, v);
        break;
    }
}

/* True when the field says no more than its absence does. */
static bool is_default(const struct field *f, yyjson_val *v)
{
    int64_t n;

    if (f->message == &generation_message)
        return yyjson_obj_size(v) == 0;
    if (f->kind == FIELD_STRING && strcmp(f->name, "role") == 0)
        return str_eq_c(json_str(v), "user");
    return f->kind == FIELD_INTEGER && strcmp(f->name, "candidateCount") == 0 &&
           request_integer(v, &n) && n == 1;
}

static void add_field(struct buf *out, const struct field *f, // NOLINT(misc-no-recursion)
                      yyjson_val *v)
{
    struct values it = values_of(v);

    if (is_default(f, v))
        return;
    buf_add(out, f->name, strlen(f->name) + 1);
    if (!f->repeated) {
        add_value(out, f, v);
        return;
    }
    buf_add_char(out, '[');
    while ((v = values_next(&it)))
        add_value(out, f, v);
    buf_add_char(out, ']');
}

static void add_message(struct buf *out, const struct message *m, // NOLINT(misc-no-recursion)
                        yyjson_val *object)
{
    yyjson_val *value[FIELDS_MAX];
    size_t count = yyjson_obj_size(object);
    yyjson_val *key = count ? unsafe_yyjson_get_first(object) : NULL;
    uint64_t given = 0;

    assert(m->field_count <= FIELDS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct field *f = message_field(m, json_str(key));
        yyjson_val *v = unsafe_yyjson_get_next(key);
        if (f && !yyjson_is_null(v)) {
            value[f - m->field] = v;
            given |= UINT64_C(1) << (f - m->field);
        }
        key = unsafe_yyjson_get_next(v);
    }
    buf_add_char(out, '{');
    for (; given; given &= given - 1) {
        int i = __builtin_ctzll(given);
        add_field(out, &m->field[i], value[i]);
    }
    buf_add_char(out, '}');
}

void request_identity(const struct request *r, struct buf *out)
{
    const struct message *m = r->kind == REQUEST_EMBED ? &embed_message : &request_message;

    buf_add(out, m->name, strlen(m->name) + 1);
    add_message(out, m, r->root);
}

static bool names_a_file(const struct content *c)
{
    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct part *p = &c->part[i];
        if (p->kind == PART_FILE_DATA ||
            (p->kind == PART_FUNCTION_RESPONSE && request_field(p->object, "parts")))
            return true;
    }
    return false;
}

bool request_self_contained(const struct request *r)
{
    for (uint32_t i = 0; i < r->content_count; i++)
        if (names_a_file(&r->content[i]))
            return false;
    return !r->system || !names_a_file(r->system);
}
