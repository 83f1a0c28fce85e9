#include "format/bigquery/name.h"

#include <ctype.h>
#include <string.h>

bool bq_is(struct str uri)
{
    return str_starts(uri, STR(BQ_SCHEME));
}

/* The bytes are letters, digits or stand in `more`. Letters of other scripts are not looked at. */
static bool made_of(struct str s, const char *more, bool other_scripts)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80 ? !other_scripts : !isalnum(c) && (c == '\0' || !strchr(more, c)))
            return false;
    }
    return s.len > 0 && s.len <= BQ_ID_BYTES_MAX;
}

/* The dots of a domain belong to the project. */
static size_t project_bytes(struct str rest)
{
    size_t colon = str_find(rest, STR(":"));
    size_t from = colon == SIZE_MAX ? 0 : colon;
    size_t dot = str_find(str_sub(rest, from, rest.len), STR("."));

    return dot == SIZE_MAX ? rest.len : from + dot;
}

bool bq_split(struct str uri, struct bq_name *out)
{
    *out = (struct bq_name){ 0 };
    if (!bq_is(uri))
        return false;
    struct str rest = str_sub(uri, sizeof BQ_SCHEME - 1, uri.len);
    size_t at = project_bytes(rest);
    out->project = str_sub(rest, 0, at);
    bool has_dataset = at < rest.len;
    rest = str_sub(rest, at + 1, rest.len);
    size_t dot = str_find(rest, STR("."));
    out->dataset = str_sub(rest, 0, dot);
    out->table = dot == SIZE_MAX ? (struct str){ 0 } : str_sub(rest, dot + 1, rest.len);
    return made_of(out->project, "-_.:", false) &&
           (!has_dataset || made_of(out->dataset, "_", false)) &&
           (dot == SIZE_MAX || made_of(out->table, "_- ", true));
}

void bq_add(struct buf *out, const struct bq_name *name)
{
    buf_add_c(out, BQ_SCHEME);
    buf_add_str(out, name->project);
    if (name->dataset.len) {
        buf_add_char(out, '.');
        buf_add_str(out, name->dataset);
    }
    if (name->table.len) {
        buf_add_char(out, '.');
        buf_add_str(out, name->table);
    }
}
