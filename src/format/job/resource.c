#include "format/job/resource.h"

#include <inttypes.h>

#include "base/clock.h"

#define PATH_BYTES_MAX ((size_t)64 * 1024)

static int fault_first(const char *path, const struct violations *bad, struct error *e);

yyjson_val *resource_parse(struct arena *a, struct str body, size_t bytes_max,
                           const struct message *m, struct error *e)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    size_t at = 0;

    if (body.len > bytes_max) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "The body has %zu bytes; at most %zu are taken.",
                        body.len, bytes_max);
        return NULL;
    }
    yyjson_val *root = json_parse(a, body, &at, e);
    if (!root) {
        (void)error_wrap(e, "Invalid JSON payload received, at byte %zu", at);
        return NULL;
    }
    if (!yyjson_is_obj(root)) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "The body must be a JSON object.");
        return NULL;
    }
    int rc = json_check(root, &path, e);
    if (rc < 0)
        (void)error_wrap(e, "%.*s", STR_ARG(str_sub(buf_str(&path), 0, VIOLATION_PATH_BYTES)));
    buf_release(&path);
    if (rc < 0 || resource_check("", m, root, e) < 0)
        return NULL;
    return root;
}

/* No text is given to the walker: offsets are of no use in a body that a program wrote. */
int resource_check(const char *path, const struct message *m, yyjson_val *object, struct error *e)
{
    struct violations bad;
    struct check c = { .bad = &bad };

    bad.count = 0;
    message_check(&c, NULL, m, object);
    return bad.count ? fault_first(path, &bad, e) : 0;
}

static int fault_first(const char *path, const struct violations *bad, struct error *e)
{
    const struct violation *v = &bad->item[0];
    const char *dot = *path && *v->path && *v->path != '[' ? "." : "";
    const char *colon = *path || *v->path ? ": " : "";

    return error_set(e, ERROR_INVALID_ARGUMENT, "%s%s%s%s%s %s", path, dot, v->path, colon,
                     v->message, v->remedy);
}

struct values resource_values(yyjson_val *object, const char *camel)
{
    return values_of(request_field(object, camel));
}

static void add_number(struct buf *out, yyjson_val *v)
{
    if (yyjson_is_uint(v))
        buf_addf(out, "%" PRIu64, yyjson_get_uint(v));
    else if (yyjson_is_sint(v))
        buf_addf(out, "%" PRId64, yyjson_get_sint(v));
    else
        buf_add_double(out, yyjson_get_real(v));
}

static void add_object(struct buf *out, yyjson_val *object)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(object);
    yyjson_val *key;
    const char *comma = "";

    buf_add_char(out, '{');
    while ((key = yyjson_obj_iter_next(&it))) {
        buf_add_c(out, comma);
        buf_add_json(out, json_str(key));
        buf_add_char(out, ':');
        resource_add_value(out, yyjson_obj_iter_get_val(key));
        comma = ",";
    }
    buf_add_char(out, '}');
}

static void add_array(struct buf *out, yyjson_val *array)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(array);
    yyjson_val *v;
    const char *comma = "";

    buf_add_char(out, '[');
    while ((v = yyjson_arr_iter_next(&it))) {
        buf_add_c(out, comma);
        resource_add_value(out, v);
        comma = ",";
    }
    buf_add_char(out, ']');
}

void resource_add_value(struct buf *out, yyjson_val *v)
{
    if (yyjson_is_obj(v))
        add_object(out, v);
    else if (yyjson_is_arr(v))
        add_array(out, v);
    else if (yyjson_is_str(v))
        buf_add_json(out, json_str(v));
    else if (yyjson_is_num(v))
        add_number(out, v);
    else if (yyjson_is_bool(v))
        buf_add_c(out, yyjson_get_bool(v) ? "true" : "false");
    else
        buf_add_c(out, "null");
}

void resource_add_message(struct buf *out, const struct message *m, yyjson_val *object)
{
    struct members all;

    members_begin(&all, out, (struct str){ 0 });
    for (size_t i = 0; i < m->field_count; i++) {
        yyjson_val *value = request_field(object, m->field[i].name);
        if (value && member_add(&all, m->field[i].name))
            resource_add_field(out, &m->field[i], value);
    }
    members_end(&all);
}

static void add_one(struct buf *out, const struct field *f, yyjson_val *value)
{
    int64_t whole;

    if (f->kind == FIELD_MESSAGE)
        resource_add_message(out, f->message, value);
    else if (f->kind == FIELD_INTEGER && request_integer(value, &whole))
        buf_addf(out, "\"%" PRId64 "\"", whole);
    else
        resource_add_value(out, value);
}

void resource_add_field(struct buf *out, const struct field *f, yyjson_val *value)
{
    struct values it = values_of(value);
    const char *comma = "";
    yyjson_val *v;

    if (!f->repeated) {
        add_one(out, f, value);
        return;
    }
    buf_add_char(out, '[');
    while ((v = values_next(&it))) {
        buf_add_c(out, comma);
        add_one(out, f, v);
        comma = ",";
    }
    buf_add_char(out, ']');
}

void members_begin(struct members *m, struct buf *out, struct str mask)
{
    mask = str_trim(mask);
    if (str_eq_c(mask, "*"))
        mask.len = 0;
    *m = (struct members){ .out = out, .mask = mask };
    buf_add_char(out, '{');
}

/* A mask's path names what is below a member too: then all of the member is given. */
static bool mask_names(struct str mask, const char *name)
{
    while (mask.len) {
        size_t comma = str_find(mask, STR(","));
        struct str path = str_trim(str_sub(mask, 0, comma));
        if (field_named(name, str_sub(path, 0, str_find(path, STR(".")))))
            return true;
        mask = comma == SIZE_MAX ? (struct str){ 0 } : str_sub(mask, comma + 1, mask.len);
    }
    return false;
}

bool member_add(struct members *m, const char *name)
{
    if (m->mask.len && !mask_names(m->mask, name))
        return false;
    buf_addf(m->out, "%s\"%s\":", m->any ? "," : "", name);
    m->any = true;
    return true;
}

void member_add_text(struct members *m, const char *name, struct str value)
{
    if (member_add(m, name))
        buf_add_json(m->out, value);
}

void member_add_raw(struct members *m, const char *name, struct str json)
{
    if (member_add(m, name))
        buf_add_str(m->out, json);
}

void member_add_count(struct members *m, const char *name, uint64_t value)
{
    if (member_add(m, name))
        buf_addf(m->out, "%" PRIu64, value);
}

void member_add_int64(struct members *m, const char *name, uint64_t value)
{
    if (value && member_add(m, name))
        buf_addf(m->out, "\"%" PRIu64 "\"", value);
}

void member_add_double(struct members *m, const char *name, double value)
{
    if (member_add(m, name))
        buf_add_double(m->out, value);
}

void member_add_bool(struct members *m, const char *name, bool value)
{
    if (member_add(m, name))
        buf_add_c(m->out, value ? "true" : "false");
}

void member_add_time(struct members *m, const char *name, int64_t us, int digits)
{
    char text[CLOCK_TEXT_BYTES];

    if (us == 0 || !member_add(m, name))
        return;
    clock_format_rfc3339(us, text);
    struct str stamp = str_of(text);
    stamp.len--; /* the Z, which stands behind all digits */
    buf_addf(m->out, "\"%.*s%sZ\"", STR_ARG(stamp), digits == 9 ? "000" : "");
}

void members_end(struct members *m)
{
    buf_add_char(m->out, '}');
}
