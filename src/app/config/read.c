/* read.c -- a YAML file into the structs of the table.
 *
 * Why: every value is checked by its row where it stands in the file, so that the error of a wrong one
 * names line, column, key, and what the key takes.
 *
 * Shape:   the document is read whole by libyaml, which resolves aliases; then each mapping is read by
 *          its section. Sections do not nest in themselves, and lists are bounded, so that no alias can
 *          make a small file endless.
 */
#include "app/config/table.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "app/cli/options.h"
#include "app/config/config.h"

#define SHOWN_BYTES 40

struct reader {
    const char *path;
    yaml_document_t *document;
    struct config *config;
};

/* A decimal number: strtod would also take hexadecimal digits, "inf" and "nan". */
static bool is_decimal(const char *text, double *out)
{
    char *end;

    if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text) || strchr("+eE", *text))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool is_flag(const char *text, bool *out)
{
    static const char *const words[] = { "false", "no",  "off", "disable", "0",
                                         "true",  "yes", "on",  "enable",  "1" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i >= ARRAY_LEN(words) / 2;
            return true;
        }
    }
    return false;
}

/* 1 for the first of "a|b|c", 0 for none of them. */
static uint32_t choice_of(struct str words, const char *text)
{
    for (uint32_t n = 1; words.len; n++) {
        struct str word = str_sub(words, 0, str_find(words, STR("|")));
        if (str_eq_c(word, text))
            return n;
        words = str_sub(words, word.len + 1, words.len);
    }
    return 0;
}

/* Stores a scalar as the row says; false when it is none of what the row takes. An empty text is as
 * one that is not given. */
static bool scalar_store(struct config *c, const struct config_row *row, struct str text, void *at)
{
    const char *value = arena_copy(&c->arena, text.p, text.len);
    uint64_t whole = 0;
    double number = 0;
    bool flag = false;

    switch (row->type) {
    case CONFIG_TEXT:
    case CONFIG_FILE:
        if (text.len)
            *(const char **)at = row->type == CONFIG_FILE ? config_beside(c, value) : value;
        return text.len <= CONFIG_TEXT_BYTES_MAX;
    case CONFIG_CHOICE:
        *(uint32_t *)at = choice_of(str_of(row->value), value);
        return *(uint32_t *)at != 0;
    case CONFIG_FLAG:
        return is_flag(value, at);
    case CONFIG_FLAG_IF:
        if (!is_flag(value, &flag))
            return false;
        *(int8_t *)at = flag;
        return true;
    case CONFIG_COUNT:
        if (!str_number_in(text, row->bounds.min, row->bounds.max, &whole))
            return false;
        *(uint32_t *)at = (uint32_t)whole;
        return true;
    case CONFIG_BIG:
        return str_number_in(text, row->bounds.min, row->bounds.max, at);
    case CONFIG_NUMBER:
        if (!is_decimal(value, &number) || number < row->bounds.from || number > row->bounds.to)
            return false;
        *(double *)at = number;
        return true;
    case CONFIG_TEXTS:
    case CONFIG_MAP:
    case CONFIG_MAP_IF:
    case CONFIG_LIST:
        break;
    }
    return false;
}

static void section_defaults(struct config *c, const struct config_section *s, void *base)
{
    for (size_t i = 0; i < s->row_count; i++) {
        const struct config_row *row = &s->row[i];
        void *at = (char *)base + row->place;
        if (row->type == CONFIG_MAP)
            section_defaults(c, row->section, at);
        else if (row->type == CONFIG_FLAG_IF)
            *(int8_t *)at = -1;
        else if (row->type == CONFIG_NUMBER && !row->preset)
            *(double *)at = NAN;
        bool ok = !row->preset || scalar_store(c, row, str_of(row->preset), at);
        assert(ok); /* a default is a value that the row takes */
    }
}

void config_defaults(struct config *out)
{
    section_defaults(out, &config_root, out);
}

struct upstream_entry *config_upstream_entry(struct config *c)
{
    struct upstream_entry *out = arena_alloc(&c->arena, sizeof *out);

    section_defaults(c, &config_upstreams, out);
    return out;
}

/* ---- The document ---- */

static int refuse(const struct reader *r, const struct config_section *s,
                  const struct config_row *row, const yaml_node_t *value, struct error *e)
{
    struct buf shown = BUF_INIT((size_t)2 * SHOWN_BYTES), takes = BUF_INIT(256);
    bool scalar = value->type == YAML_SCALAR_NODE;
    const char *what = value->type == YAML_MAPPING_NODE ? "a mapping" : "a list";

    if (scalar)
        buf_add_plain(&shown,
                      (struct str){ (const char *)value->data.scalar.value,
                                    value->data.scalar.length < SHOWN_BYTES
                                        ? value->data.scalar.length
                                        : SHOWN_BYTES },
                      false);
    config_row_takes(row, &takes);
    (void)error_set(e, ERROR_INVALID_ARGUMENT,
                    "%s (line %zu, column %zu): %s%s%s is %s%s%s; it takes %s", r->path,
                    value->start_mark.line + 1, value->start_mark.column + 1, s->path,
                    s->path[0] ? "." : "", row->name, scalar ? "\"" : "",
                    scalar ? (shown.len ? shown.p : "") : what, scalar ? "\"" : "", takes.p);
    buf_release(&shown);
    buf_release(&takes);
    return -1;
}

static int unknown_key(const struct reader *r, const struct config_section *s,
                       const yaml_node_t *key, struct error *e)
{
    struct buf name = BUF_INIT((size_t)4 * SHOWN_BYTES);
    const struct config_section *any;
    const struct config_row *row;

    buf_add_plain(&name, str_cut(str_of((const char *)key->data.scalar.value), SHOWN_BYTES), false);
    struct nearest n = { .word = name.p ? name.p : "" };
    for (size_t i = 0; i < s->row_count; i++)
        nearest_offer(&n, s->row[i].name);
    for (uint32_t i = 0; !n.best && config_row_at(i, &any, &row); i++)
        nearest_offer(&n, row->name);
    (void)error_set(e, ERROR_INVALID_ARGUMENT,
                    n.best ? "%s (line %zu, column %zu): unknown key \"%s\"; did you mean \"%s\"?"
                           : "%s (line %zu, column %zu): unknown key \"%s\"; see `tranche help "
                             "config`%s",
                    r->path, key->start_mark.line + 1, key->start_mark.column + 1, n.word,
                    n.best ? n.best : "");
    buf_release(&name);
    return -1;
}

static const struct config_row *row_of(const struct config_section *s, const yaml_node_t *key)
{
    for (size_t i = 0; key->type == YAML_SCALAR_NODE && i < s->row_count; i++)
        if (strcmp(s->row[i].name, (const char *)key->data.scalar.value) == 0)
            return &s->row[i];
    return NULL;
}

static bool is_text(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE && n->data.scalar.length <= CONFIG_TEXT_BYTES_MAX &&
           !memchr(n->data.scalar.value, '\0', n->data.scalar.length);
}

static struct str text_of(const yaml_node_t *scalar)
{
    return (struct str){ (const char *)scalar->data.scalar.value, scalar->data.scalar.length };
}

static const yaml_node_t *item_of(const struct reader *r, const yaml_node_t *list, size_t i)
{
    return yaml_document_get_node(r->document, list->data.sequence.items.start[i]);
}

static int read_section(const struct reader *r, const struct config_section *s,
                        const yaml_node_t *mapping, void *base, struct error *e);

static int read_texts(const struct reader *r, const struct config_section *s,
                      const struct config_row *row, const yaml_node_t *value, void *at,
                      struct error *e)
{
    size_t count = (size_t)(value->data.sequence.items.top - value->data.sequence.items.start);
    const char **list = arena_array(&r->config->arena, count + 1, sizeof *list);

    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = item_of(r, value, i);
        if (!is_text(item))
            return refuse(r, s, row, item ? item : value, e);
        list[i] = arena_copy(&r->config->arena, item->data.scalar.value, item->data.scalar.length);
    }
    *(const char *const **)at = list;
    return 0;
}

static int read_list(const struct reader *r, const struct config_section *s,
                     const struct config_row *row, const yaml_node_t *value, void *at,
                     struct error *e)
{
    const struct config_section *of = row->section;
    struct config_list *list = at;
    size_t count = (size_t)(value->data.sequence.items.top - value->data.sequence.items.start);

    list->item = arena_array(&r->config->arena, count + 1, of->bytes);
    for (list->count = 0; list->count < count; list->count++) {
        const yaml_node_t *item = item_of(r, value, list->count);
        void *base = (char *)list->item + list->count * of->bytes;
        if (!item || item->type != YAML_MAPPING_NODE)
            return refuse(r, s, row, item ? item : value, e);
        section_defaults(r->config, of, base);
        if (read_section(r, of, item, base, e) < 0)
            return -1;
    }
    return 0;
}

static int read_map(const struct reader *r, const struct config_row *row, const yaml_node_t *value,
                    void *at, struct error *e)
{
    if (row->type == CONFIG_MAP_IF) {
        void *own = arena_alloc(&r->config->arena, row->section->bytes);
        section_defaults(r->config, row->section, own);
        *(void **)at = own;
        at = own;
    }
    return read_section(r, row->section, value, at, e);
}

static int read_value(const struct reader *r, const struct config_section *s,
                      const struct config_row *row, const yaml_node_t *value, void *at,
                      struct error *e)
{
    bool list = row->type == CONFIG_LIST || row->type == CONFIG_TEXTS;
    bool map = row->type == CONFIG_MAP || row->type == CONFIG_MAP_IF;

    if (map && value->type == YAML_MAPPING_NODE)
        return read_map(r, row, value, at, e);
    if (list && value->type == YAML_SEQUENCE_NODE &&
        (uint64_t)(value->data.sequence.items.top - value->data.sequence.items.start) <=
            row->bounds.max)
        return row->type == CONFIG_LIST ? read_list(r, s, row, value, at, e)
                                        : read_texts(r, s, row, value, at, e);
    if (!map && !list && is_text(value) && scalar_store(r->config, row, text_of(value), at))
        return 0;
    return refuse(r, s, row, value, e);
}

static int read_section(const struct reader *r, const struct config_section *s,
                        const yaml_node_t *mapping, void *base, struct error *e)
{
    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         p < mapping->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(r->document, p->key);
        const yaml_node_t *value = yaml_document_get_node(r->document, p->value);
        assert(key && value); /* the parser made both */
        const struct config_row *row = row_of(s, key);
        if (!row && key->type == YAML_SCALAR_NODE)
            return unknown_key(r, s, key, e);
        if (!row)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s (line %zu, column %zu): a key is a word", r->path,
                             key->start_mark.line + 1, key->start_mark.column + 1);
        if (read_value(r, s, row, value, (char *)base + row->place, e) < 0)
            return -1;
    }
    return 0;
}

static int read_document(const struct reader *r, struct error *e)
{
    const yaml_node_t *root = yaml_document_get_root_node(r->document);

    if (!root) /* nothing but comments */
        return 0;
    if (root->type == YAML_MAPPING_NODE)
        return read_section(r, &config_root, root, r->config, e);
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "%s (line %zu, column %zu): the file takes keys and values; see `tranche help "
                     "config`",
                     r->path, root->start_mark.line + 1, root->start_mark.column + 1);
}

int config_read(struct config *out, const char *path, struct str text, struct error *e)
{
    yaml_document_t document;
    yaml_parser_t parser;
    const struct reader r = { .path = path, .document = &document, .config = out };
    int rc = -1;

    config_defaults(out);
    if (str_utf8_valid(text) != text.len)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: byte %zu is not UTF-8", path,
                         str_utf8_valid(text) + 1);
    if (!yaml_parser_initialize(&parser))
        return error_set(e, ERROR_INTERNAL, "%s: no YAML parser", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.len);
    if (yaml_parser_load(&parser, &document)) {
        rc = read_document(&r, e);
        yaml_document_delete(&document);
    } else {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s (line %zu, column %zu): %s", path,
                        parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                        parser.problem ? parser.problem : "not YAML");
    }
    yaml_parser_delete(&parser);
    return rc;
}
