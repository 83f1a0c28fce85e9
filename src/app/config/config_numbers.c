/* config_numbers.c -- are the numbers of the configuration numbers?
 *
 * Why: libcyaml reads them with strtoull and strtod: "8k" is 8 to it, and "-1" a very large number. An
 * operator who wrote 8k must hear of it, so the document is looked through before.
 */
#include "app/config/config_schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "app/cli/options.h"

#define DEPTH_MAX 16     /* deeper than any key stands */
#define VALUES_MAX 65536 /* aliases can make few bytes many values */
#define SECTION_BYTES 256
#define SHOWN_BYTES 40

struct walk {
    const char *path;
    yaml_document_t *document;
    uint32_t values;
};

/* What a kind of number may be. */
static const struct {
    uint64_t max; /* 0: not a whole number */
    const char *about;
} kinds[] = {
    [CONFIG_OTHER] = { 0, "" },
    [CONFIG_COUNT] = { UINT32_MAX, "a whole number from 0 to 4294967295" },
    [CONFIG_BIG] = { UINT64_MAX, "a whole number from 0 to 18446744073709551615" },
    [CONFIG_NUMBER] = { 0, "a number such as 0.25" },
};

static int check_mapping(struct walk *w, const char *section, unsigned depth,
                         const yaml_node_t *mapping, struct error *e);

int config_numbers_check(const char *path, struct str text, struct error *e)
{
    yaml_document_t document;
    yaml_parser_t parser;
    int rc = 0;

    if (text.len == 0)
        return 0;
    if (!yaml_parser_initialize(&parser))
        return error_set(e, ERROR_INTERNAL, "%s: no YAML parser", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
    if (yaml_parser_load(&parser, &document)) {
        struct walk w = { .path = path, .document = &document };
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root && root->type == YAML_MAPPING_NODE)
            rc = check_mapping(&w, "", 0, root, e);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return rc;
}

/* A model's `fake` has the keys of the one at the top. */
static const char *section_name(const char *section)
{
    static const char models[] = "models[].";
    const char *rest = section + sizeof models - 1;

    if (strncmp(section, models, sizeof models - 1) != 0)
        return section;
    return strncmp(rest, "fake.", sizeof "fake." - 1) == 0 ? rest : section;
}

static enum config_kind kind_of(const char *section, const char *name)
{
    struct config_key key;

    section = section_name(section);
    for (uint32_t i = 0; config_key_at(i, &key); i++)
        if (strcmp(key.section, section) == 0 && strcmp(key.name, name) == 0)
            return key.kind;
    return CONFIG_OTHER;
}

/* A decimal number: strtod would also take hexadecimal digits, "inf" and "nan". */
static bool is_decimal(const char *text)
{
    char *end;

    if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text) || strchr("+eE", *text))
        return false;
    double value = strtod(text, &end);
    return *end == '\0' && isfinite(value);
}

static int check_scalar(const struct walk *w, const char *section, const char *name,
                        const yaml_node_t *value, struct error *e)
{
    enum config_kind kind = kind_of(section, name);
    const char *text = (const char *)value->data.scalar.value;
    uint64_t ignored;
    struct buf shown = BUF_INIT(2 * SHOWN_BYTES);

    if (kind == CONFIG_OTHER)
        return 0;
    if (strlen(text) == value->data.scalar.length &&
        (kinds[kind].max ? str_number_in(str_of(text), 0, kinds[kind].max, &ignored)
                         : is_decimal(text)))
        return 0;
    buf_add_plain(&shown, str_sub(str_of(text), 0, SHOWN_BYTES), false);
    (void)error_set(e, ERROR_INVALID_ARGUMENT,
                    "%s (line %zu, column %zu): %s%s is \"%s\"; it takes %s", w->path,
                    value->start_mark.line + 1, value->start_mark.column + 1, section, name,
                    shown.len ? shown.p : "", kinds[kind].about);
    buf_release(&shown);
    return -1;
}

static int check_sequence(struct walk *w, const char *section, unsigned depth,
                          const yaml_node_t *sequence, struct error *e)
{
    int rc = 0;

    for (const yaml_node_item_t *i = sequence->data.sequence.items.start;
         rc == 0 && i < sequence->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(w->document, *i);
        if (item && item->type == YAML_MAPPING_NODE)
            rc = check_mapping(w, section, depth, item, e);
    }
    return rc;
}

/* What stands too deep, too often or under no known key is refused by the schema. */
static int check_value(struct walk *w, const char *section, unsigned depth,
                       const yaml_node_pair_t *pair, struct error *e)
{
    const yaml_node_t *key = yaml_document_get_node(w->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(w->document, pair->value);
    char below[SECTION_BYTES];

    if (!key || !value || key->type != YAML_SCALAR_NODE || ++w->values > VALUES_MAX)
        return 0;
    const char *name = (const char *)key->data.scalar.value;
    if (value->type == YAML_SCALAR_NODE)
        return check_scalar(w, section, name, value, e);
    bool list = value->type == YAML_SEQUENCE_NODE;
    int n = snprintf(below, sizeof below, "%s%s%s.", section, name, list ? "[]" : "");
    if (n < 0 || (size_t)n >= sizeof below || depth == DEPTH_MAX)
        return 0;
    return list ? check_sequence(w, below, depth + 1, value, e)
                : check_mapping(w, below, depth + 1, value, e);
}

static int check_mapping(struct walk *w, const char *section, unsigned depth,
                         const yaml_node_t *mapping, struct error *e)
{
    int rc = 0;

    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         rc == 0 && p < mapping->data.mapping.pairs.top; p++)
        rc = check_value(w, section, depth, p, e);
    return rc;
}
