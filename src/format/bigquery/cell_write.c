/* cell_write.c -- cells in replies and exports. */
#include <inttypes.h>
#include <stdio.h>

#include "format/bigquery/cell.h"
#include "format/bigquery/civil.h"

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static bool has_times(const struct bq_field *f)
{
    if (f->type == BQ_TIMESTAMP || (f->type == BQ_RANGE && f->range_type == BQ_TIMESTAMP))
        return true;
    for (uint32_t i = 0; i < f->field_count; i++)
        if (has_times(&f->fields[i]))
            return true;
    return false;
}

/* Seconds as d.dddE9: the digits of the microseconds, so that nothing is rounded. */
static void write_seconds(int64_t us, char text[CIVIL_BYTES])
{
    char digits[CIVIL_BYTES];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, us < 0 ? 0 - (uint64_t)us : (uint64_t)us);
    int keep = n;

    if (us == 0) {
        (void)snprintf(text, CIVIL_BYTES, "0.0");
        return;
    }
    while (keep > 2 && digits[keep - 1] == '0')
        keep--;
    if (n == 1) {
        digits[1] = '0';
        keep = 2;
    }
    (void)snprintf(text, CIVIL_BYTES, "%s%c.%.*sE%d", us < 0 ? "-" : "", digits[0], keep - 1,
                   digits + 1, n - 7);
}

static void write_time(struct json_writer *w, const char *key, struct str text, enum bq_times times)
{
    char copy[CIVIL_BYTES];
    bool minus = str_starts(text, STR("-"));
    uint64_t n;

    if (times == BQ_TIMES_MICROS || !str_number(str_sub(text, minus, text.len), &n)) {
        json_add_text(w, key, text);
        return;
    }
    int64_t us = minus ? -(int64_t)n : (int64_t)n;
    if (times == BQ_TIMES_SECONDS) {
        write_seconds(us, copy);
        json_add_c(w, key, copy);
    } else {
        civil_write_datetime(us, 'T', copy);
        json_addf(w, key, "%sZ", copy);
    }
}

/* The text of a range of timestamps with its ends written anew. */
static void write_range(struct json_writer *w, const char *key, struct str text,
                        enum bq_times times)
{
    struct str inside = str_sub(text, 1, text.len - 2), piece;
    struct buf out = BUF_INIT(SIZE_MAX);
    bool second = false;

    buf_add_char(&out, '[');
    while (str_next(&inside, ',', &piece)) {
        struct buf one = BUF_INIT(SIZE_MAX);
        struct json_writer ends = JSON_WRITER(&one);
        write_time(&ends, NULL, str_trim(piece), times);
        buf_add_c(&out, second ? ", " : "");
        buf_add_str(&out, str_sub(buf_str(&one), 1, one.len - 2));
        buf_release(&one);
        second = true;
    }
    buf_add_char(&out, ')');
    json_add_text(w, key, buf_str(&out));
    buf_release(&out);
}

static void write_scalar(struct json_writer *w, const char *key, const struct bq_field *f,
                         struct str text, enum bq_times times)
{
    if (f->type == BQ_TIMESTAMP)
        write_time(w, key, text, times);
    else if (f->type == BQ_RANGE && f->range_type == BQ_TIMESTAMP && times != BQ_TIMES_MICROS)
        write_range(w, key, text, times);
    else
        json_add_text(w, key, text);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static void write_nested(struct json_writer *w, const struct bq_field *f, yyjson_val *v,
                         enum bq_times times)
{
    struct bq_field item = *f;
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_is_arr(v) ? v : json_get(v, "f"));
    yyjson_val *one;
    uint32_t i = 0;

    if (!yyjson_is_arr(v) && !yyjson_is_obj(v)) {
        if (yyjson_is_null(v))
            json_add_null(w, NULL);
        else
            write_scalar(w, NULL, f, json_str(v), times);
        return;
    }
    item.mode = BQ_NULLABLE;
    if (yyjson_is_obj(v)) {
        json_object(w, NULL);
        json_key(w, STR("f"));
    }
    json_array(w, NULL);
    while ((one = yyjson_arr_iter_next(&it))) {
        json_object(w, NULL);
        json_key(w, STR("v"));
        if (yyjson_is_obj(v) && i >= f->field_count)
            json_add_null(w, NULL);
        else
            write_nested(w, yyjson_is_obj(v) ? &f->fields[i] : &item, json_get(one, "v"), times);
        json_end(w);
        i++;
    }
    json_end(w);
    if (yyjson_is_obj(v))
        json_end(w);
}

void bq_cell_write(struct json_writer *w, const char *key, const struct bq_field *f,
                   struct bq_cell c, enum bq_times times)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    if (c.null && f->mode == BQ_REPEATED) {
        json_array(w, key);
        json_end(w);
    } else if (c.null) {
        json_add_null(w, key);
    } else if (f->mode != BQ_REPEATED && f->type != BQ_RECORD) {
        write_scalar(w, key, f, c.text, times);
    } else if (times == BQ_TIMES_MICROS || !has_times(f)) {
        json_add_raw(w, key, c.text);
    } else {
        if (key)
            json_key(w, str_of(key));
        write_nested(w, f, json_parse(&a, c.text, &at, &ignored), times);
    }
    arena_release(&a);
}

/* ---- To exports ---- */

static void timestamp_text(struct buf *out, struct str text)
{
    char copy[CIVIL_BYTES];
    bool minus = str_starts(text, STR("-"));
    uint64_t n;

    if (!str_number(str_sub(text, minus, text.len), &n)) {
        buf_add_str(out, text);
        return;
    }
    civil_write_datetime(minus ? -(int64_t)n : (int64_t)n, ' ', copy);
    buf_addf(out, "%s UTC", copy);
}

void bq_cell_to_text(struct buf *out, const struct bq_field *f, struct bq_cell c)
{
    if (c.null)
        return;
    if (f->type == BQ_TIMESTAMP && f->mode != BQ_REPEATED)
        timestamp_text(out, c.text);
    else
        buf_add_str(out, c.text);
}

static void plain_scalar(struct json_writer *w, const char *key, const struct bq_field *f,
                         struct str text)
{
    struct buf b = BUF_INIT(SIZE_MAX);

    if (f->type == BQ_JSON || f->type == BQ_BOOLEAN ||
        (f->type == BQ_FLOAT && !str_ends(text, STR("y")) && !str_eq(text, STR("NaN")))) {
        json_add_raw(w, key, text);
    } else {
        bq_cell_to_text(&b, f, (struct bq_cell){ .text = text });
        json_add_text(w, key, buf_str(&b));
    }
    buf_release(&b);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema */
static void plain_nested(struct json_writer *w, const struct bq_field *f, yyjson_val *v)
{
    struct bq_field item = *f;
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_is_arr(v) ? v : json_get(v, "f"));
    yyjson_val *one;
    uint32_t i = 0;

    item.mode = BQ_NULLABLE;
    if (yyjson_is_null(v) || !v) {
        json_add_null(w, NULL);
    } else if (yyjson_is_arr(v)) {
        json_array(w, NULL);
        while ((one = yyjson_arr_iter_next(&it)))
            plain_nested(w, &item, json_get(one, "v"));
        json_end(w);
    } else if (yyjson_is_obj(v)) {
        json_object(w, NULL);
        while ((one = yyjson_arr_iter_next(&it)) && i < f->field_count) {
            json_key(w, f->fields[i].name);
            plain_nested(w, &f->fields[i++], json_get(one, "v"));
        }
        json_end(w);
    } else {
        plain_scalar(w, NULL, f, json_str(v));
    }
}

void bq_cell_to_json(struct json_writer *w, const char *key, const struct bq_field *f,
                     struct bq_cell c)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    if (c.null) {
        json_add_null(w, key);
    } else if (f->mode != BQ_REPEATED && f->type != BQ_RECORD) {
        plain_scalar(w, key, f, c.text);
    } else {
        if (key)
            json_key(w, str_of(key));
        plain_nested(w, f, json_parse(&a, c.text, &at, &ignored));
    }
    arena_release(&a);
}
