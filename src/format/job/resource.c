#include "format/job/resource.h"

#include <inttypes.h>

#include "base/clock.h"

#define PATH_BYTES_MAX ((size_t)64 * 1024)

static int fault_first(const char *path, const struct violations *bad, struct error *e)
{
    const struct violation *v = &bad->item[0];
    const char *dot = *path && *v->path && *v->path != '[' ? "." : "";
    const char *colon = *path || *v->path ? ": " : "";

    return error_set(e, ERROR_INVALID_ARGUMENT, "%s%s%s%s%s %s", path, dot, v->path, colon,
                     v->message, v->remedy);
}

/* No text is given to the walker: offsets are of no use in a body that a program wrote. */
int resource_check(const char *path, const struct message *m, yyjson_val *object, struct error *e)
{
    struct violations bad;
    struct check c = { .bad = &bad };

    bad.count = bad.warnings = 0;
    message_check(&c, NULL, m, object);
    return bad.count ? fault_first(path, &bad, e) : 0;
}

yyjson_val *resource_parse(struct arena *a, struct str body, size_t bytes_max,
                           const struct message *m, struct error *e)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    size_t at = 0;

    if (body.len > bytes_max) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "The body has %zu bytes; at most %zu are allowed.", body.len, bytes_max);
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
        (void)error_wrap(e, "%.*s", STR_ARG(str_cut(buf_str(&path), VIOLATION_PATH_BYTES)));
    buf_release(&path);
    if (rc < 0 || resource_check("", m, root, e) < 0)
        return NULL;
    return root;
}

struct values resource_values(yyjson_val *object, const char *camel)
{
    return values_of(request_field(object, camel));
}

void resource_add_message(struct json_writer *w, const char *key, const struct message *m,
                          yyjson_val *object)
{
    json_object(w, key);
    for (size_t i = 0; i < m->field_count; i++) {
        yyjson_val *value = request_field(object, m->field[i].name);
        if (value)
            resource_add_field(w, m->field[i].name, &m->field[i], value);
    }
    json_end(w);
}

static void add_one(struct json_writer *w, const char *key, const struct field *f,
                    yyjson_val *value)
{
    int64_t whole;

    if (f->kind == FIELD_MESSAGE)
        resource_add_message(w, key, f->message, value);
    else if (f->kind == FIELD_INTEGER && request_integer(value, &whole))
        json_addf(w, key, "%" PRId64, whole);
    else
        json_add_value(w, key, value);
}

void resource_add_field(struct json_writer *w, const char *key, const struct field *f,
                        yyjson_val *value)
{
    struct values it = values_of(value);
    yyjson_val *v;

    if (!f->repeated) {
        add_one(w, key, f, value);
        return;
    }
    json_array(w, key);
    while ((v = values_next(&it)))
        add_one(w, NULL, f, v);
    json_end(w);
}

void resource_add_int64(struct json_writer *w, const char *key, int64_t value)
{
    if (value)
        json_addf(w, key, "%" PRId64, value);
}

void resource_add_time(struct json_writer *w, const char *key, int64_t us, int digits)
{
    char text[CLOCK_TEXT_BYTES];

    if (us == 0)
        return;
    clock_format_rfc3339(us, text);
    struct str stamp = str_of(text);
    stamp.len--; /* the Z, which stands behind all digits */
    json_addf(w, key, "%.*s%sZ", STR_ARG(stamp), digits == 9 ? "000" : "");
}
