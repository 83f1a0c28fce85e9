/* table.h -- the configuration as one table: a setting is a row.
 *
 * Why: a setting's name, type, place, default, bounds and explanation stand once. Reading, the error of
 * a wrong value, `tranche help config`, the man page, docs/reference/config.md (by a test) and what a
 * reload leaves alone all come from its row.
 *
 * Shape:   a section is a struct and the rows of its members. A member that is not given has the row's
 *          default; without one a text or map is NULL, a choice and a whole number 0, a number NAN,
 *          a flag of type CONFIG_FLAG_IF -1.
 * Errors:  findings with the line, column, field, and what the field takes; for an unknown key the
 *          nearest one.
 * Threads: the table is constant.
 * Source:  PgBouncer's configuration table, https://www.pgbouncer.org
 */
#ifndef TRANCHE_APP_CONFIG_TABLE_H
#define TRANCHE_APP_CONFIG_TABLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "predict/model.h"

#define CONFIG_BYTES_MAX ((size_t)1024 * 1024)
#define CONFIG_TEXT_BYTES_MAX 4096
#define CONFIG_MODELS_MAX 256
#define CONFIG_WEBHOOK_ALLOW_MAX 256
#define CONFIG_LOCATIONS_MAX 256

struct config;

enum config_type {
    CONFIG_TEXT,    /* const char * */
    CONFIG_FILE,    /* const char *; a relative path becomes one below the configuration's folder */
    CONFIG_CHOICE,  /* uint32_t: 1 for the first of the words in `value`, "a|b"; 0: not given */
    CONFIG_FLAG,    /* bool */
    CONFIG_FLAG_IF, /* int8_t: 0, 1; -1: not given */
    CONFIG_COUNT,   /* uint32_t */
    CONFIG_BIG,     /* uint64_t */
    CONFIG_NUMBER,  /* double */
    CONFIG_TEXTS,   /* const char *const *, until NULL; NULL: not given */
    CONFIG_MAP,     /* the section's struct */
    CONFIG_MAP_IF,  /* a pointer to the section's struct; NULL: not given */
    CONFIG_LIST,    /* struct config_list of the section's structs */
};

struct config_list {
    void *item; /* in the arena */
    uint32_t count;
};

struct config_section;
struct config_row {
    const char *name;
    enum config_type type;
    size_t place; /* in the section's struct */
    struct {
        uint64_t min, max; /* of a whole number; of a list: max items */
        double from, to;   /* of a number; from DBL_MIN: above 0 */
    } bounds;
    const struct config_section *section; /* of a map or list */
    const char *value;                    /* stands for the value in help; a choice's words */
    const char *preset;                   /* the default as the file would say it; NULL: none */
    const char *about;
    const char *absent; /* words for a default that depends on something else; NULL: none */
    bool restart;       /* read when `tranche serve` starts; a reload leaves it alone */
};
struct config_section {
    const char *path; /* "service.weights[]"; "": the top level */
    const struct config_row *row;
    size_t row_count;
    size_t bytes; /* of the struct */
};
extern const struct config_section config_root;      /* of struct config */
extern const struct config_section config_service;   /* of struct config_service */
extern const struct config_section config_upstreams; /* of struct upstream_entry */

/* Structs of sections that hold more than the structs that the program uses. */
struct fault_entry {
    struct fake_fault fault;
    const char *code;
};
struct fake_entry {
    struct fake_script script;
    struct config_list faults;  /* struct fault_entry */
    struct config_list answers; /* struct fake_reply */
};
struct adapter_entry {
    const char *file;
    double scale;
};
struct upstream_entry {
    struct upstream upstream;
    uint32_t dialect; /* UPSTREAM_... */
    const char *key_env;
    int8_t inline_files;
};
enum { UPSTREAM_BY_URL, UPSTREAM_OPENAI, UPSTREAM_GEMINI };
struct model_upstream_entry {
    const char *upstream, *model;
    double weight;
    struct price *price;
};
struct model_entry {
    struct model model;
    uint32_t kind, engine, call_format; /* KIND_..., ENGINE_..., CALL_FORMAT_FIRST + CALLS_... */
    bool isolate;
    struct config_list upstreams; /* struct model_upstream_entry */
    struct config_list adapters;  /* struct adapter_entry */
    struct price *price;
    struct fake_entry *fake;
};
enum { KIND_NOT_GIVEN, KIND_LOCAL, KIND_UPSTREAM, KIND_REMOTE_BATCH, KIND_FAKE };
enum { ENGINE_FAST = 1, ENGINE_PLAIN };
enum { CALL_FORMAT_FIRST = 1 }; /* then as enum call_format */
struct weight_entry {
    const char *project;
    double weight;
};

/* Defaults, then what the text of the file says. Everything wrong becomes a finding. */
void config_read(struct config *out, struct str text);
/* Adds *f with the text of fmt; its strings must live as long as c. */
struct config_finding;
void config_finding_add(struct config *c, const struct config_finding *f, const char *fmt,
                        va_list args) __attribute__((format(printf, 3, 0)));
/* Remembers that the value of a key of base (key NULL: base itself) stands at a place of the file. */
void config_place_add(struct config *c, const void *base, const char *key, const char *field,
                      size_t line, size_t column);
/* The defaults alone. */
void config_defaults(struct config *out);
/* An upstream with the defaults, in the arena. */
struct upstream_entry *config_upstream_entry(struct config *c);

/* The i-th row of all sections, for help; false after the last. */
bool config_row_at(uint32_t i, const struct config_section **section,
                   const struct config_row **row);
/* "about (default: 72; 1 to 87840)" */
void config_row_describe(const struct config_row *row, struct buf *out);
/* "a whole number from 1 to 87840" */
void config_row_takes(const struct config_row *row, struct buf *out);

#endif
