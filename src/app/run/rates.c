#include "app/run/rates.h"

#include "app/run/state.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/sys.h"

#define RATES_BYTES_MAX ((size_t)256 * 1024)

/* The file's object, in the arena; NULL when there is none. */
static yyjson_val *read_all(const char *state_root, struct arena *a)
{
    struct buf text = BUF_INIT(RATES_BYTES_MAX);
    struct error ignored = { 0 };
    yyjson_val *root = NULL;
    size_t at = 0;

    if (sys_read_file(arena_textf(a, "%s/%s", state_root, "rates.json"), RATES_BYTES_MAX, &text,
                      &ignored) == 0 &&
        text.len > 0) {
        char *copy = arena_copy(a, text.p, text.len);
        root = json_parse(a, (struct str){ copy, text.len }, &at, &ignored);
    }
    buf_release(&text);
    return yyjson_is_obj(root) ? root : NULL;
}

static bool take(yyjson_val *entry, struct rates *out)
{
    *out = (struct rates){
        .tokens_per_s = yyjson_get_num(json_get(entry, "tokens_per_s")),
        .generated_per_line = yyjson_get_num(json_get(entry, "generated_per_line")),
        .lines_per_s = yyjson_get_num(json_get(entry, "lines_per_s")),
        .at_us = yyjson_get_sint(json_get(entry, "at_us")),
    };
    return out->tokens_per_s > 0 && out->generated_per_line >= 0 && out->lines_per_s > 0;
}

bool rates_load(const char *state_root, const char *version, struct rates *out)
{
    struct arena a = { 0 };
    bool found = take(json_get(read_all(state_root, &a), version), out);

    arena_release(&a);
    return found;
}

static void write_entry(struct json_writer *w, struct str name, const struct rates *r)
{
    json_key(w, name);
    json_object(w, NULL);
    json_add_double(w, "tokens_per_s", r->tokens_per_s);
    json_add_double(w, "generated_per_line", r->generated_per_line);
    json_add_double(w, "lines_per_s", r->lines_per_s);
    json_add_int(w, "at_us", r->at_us);
    json_end(w);
}

int rates_save(const char *state_root, const char *version, const struct rates *r, struct error *e)
{
    struct arena a = { 0 };
    struct buf text = BUF_INIT(RATES_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    yyjson_obj_iter it = yyjson_obj_iter_with(read_all(state_root, &a));
    yyjson_val *key;
    struct rates other;

    json_object(&w, NULL);
    write_entry(&w, str_of(version), r);
    for (unsigned n = 1; n < RATES_MODELS_MAX && (key = yyjson_obj_iter_next(&it)); n++)
        if (!str_eq_c(json_str(key), version) && take(yyjson_obj_iter_get_val(key), &other))
            write_entry(&w, json_str(key), &other);
    json_end(&w);
    buf_add_char(&text, '\n');
    int rc =
        state_file_write(arena_textf(&a, "%s/%s", state_root, "rates.json"), buf_str(&text), e);
    buf_release(&text);
    arena_release(&a);
    return rc;
}
