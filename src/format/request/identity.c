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

struct identity {
    struct buf *out;
    const struct file_digests *files; /* NULL: a file is its URI */
    bool *known;                      /* false: the content of a file is not known */
};

static void add_text(const struct identity *to, char kind, struct str text)
{
    char head[1 + sizeof text.len] = { kind };

    memcpy(head + 1, &text.len, sizeof text.len);
    buf_add(to->out, head, sizeof head);
    buf_add_str(to->out, text);
}

static void add_number(const struct identity *to, yyjson_val *v)
{
    int64_t whole;
    double d = 0;

    if (request_integer(v, &whole)) {
        buf_add_char(to->out, 'i');
        buf_add(to->out, &whole, sizeof whole);
        return;
    }
    (void)request_number(v, &d);
    buf_add_char(to->out, 'd');
    buf_add(to->out, &d, sizeof d);
}

/* A value of any form, as it is. */
static void add_any(const struct identity *to,
                    yyjson_val *v) // NOLINT(misc-no-recursion): depth is checked
{
    yyjson_val *item, *key;

    if (yyjson_is_str(v)) {
        add_text(to, 's', json_str(v));
    } else if (yyjson_is_num(v)) {
        add_number(to, v);
    } else if (yyjson_is_arr(v)) {
        yyjson_arr_iter it = yyjson_arr_iter_with(v);
        buf_add_char(to->out, '[');
        while ((item = yyjson_arr_iter_next(&it)))
            add_any(to, item);
        buf_add_char(to->out, ']');
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_iter it = yyjson_obj_iter_with(v);
        buf_add_char(to->out, '{');
        while ((key = yyjson_obj_iter_next(&it))) {
            add_text(to, 'k', json_str(key));
            add_any(to, yyjson_obj_iter_get_val(key));
        }
        buf_add_char(to->out, '}');
    } else {
        buf_add_char(to->out, yyjson_is_true(v) ? 't' : yyjson_is_false(v) ? 'f' : 'n');
    }
}

/* A file by what it holds. */
static void add_content(const struct identity *to, struct str uri)
{
    uint64_t digest[2] = { 0 };

    if (!to->files->digest(to->files->arg, uri, digest))
        *to->known = false;
    buf_add_char(to->out, 'f');
    buf_add(to->out, digest, sizeof digest);
}

static void add_message(const struct identity *to, const struct message *m, yyjson_val *object);

static void add_map(const struct identity *to, const struct message *m, // NOLINT(misc-no-recursion)
                    yyjson_val *map)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(map);
    yyjson_val *key;

    buf_add_char(to->out, '{');
    while ((key = yyjson_obj_iter_next(&it))) {
        add_text(to, 'k', json_str(key));
        add_message(to, m, yyjson_obj_iter_get_val(key));
    }
    buf_add_char(to->out, '}');
}

static void add_value(const struct identity *to, const struct field *f, // NOLINT(misc-no-recursion)
                      yyjson_val *v)
{
    switch (f->kind) {
    case FIELD_INTEGER:
    case FIELD_NUMBER:
        add_number(to, v);
        break;
    case FIELD_MESSAGE:
        add_message(to, f->message, v);
        break;
    case FIELD_MESSAGE_MAP:
        add_map(to, f->message, v);
        break;
    case FIELD_STRING:
        if (to->files && strcmp(f->name, "fileUri") == 0) {
            add_content(to, json_str(v));
            break;
        }
        add_any(to, v);
        break;
    case FIELD_BOOL:
    case FIELD_BYTES:
    case FIELD_DURATION:
    case FIELD_ENUM: /* message_check gave it the table's spelling */
    case FIELD_OBJECT:
    case FIELD_ANY:
    case FIELD_STRING_MAP:
        add_any(to, v);
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

static void add_field(const struct identity *to, const struct field *f, // NOLINT(misc-no-recursion)
                      yyjson_val *v)
{
    struct values it = values_of(v);

    if (is_default(f, v))
        return;
    buf_add(to->out, f->name, strlen(f->name) + 1);
    if (!f->repeated) {
        add_value(to, f, v);
        return;
    }
    buf_add_char(to->out, '[');
    while ((v = values_next(&it)))
        add_value(to, f, v);
    buf_add_char(to->out, ']');
}

static void add_message(const struct identity *to,
                        const struct message *m, // NOLINT(misc-no-recursion)
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
    buf_add_char(to->out, '{');
    for (; given; given &= given - 1) {
        int i = __builtin_ctzll(given);
        add_field(to, &m->field[i], value[i]);
    }
    buf_add_char(to->out, '}');
}

bool request_identity(const struct request *r, const struct file_digests *files, struct buf *out)
{
    const struct message *m = r->kind == REQUEST_EMBED ? &embed_message : &request_message;
    bool known = true;
    const struct identity to = { out, files, &known };

    buf_add(out, m->name, strlen(m->name) + 1);
    add_message(&to, m, r->root);
    return known;
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
