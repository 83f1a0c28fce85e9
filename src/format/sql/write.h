/* write.h -- the printer's state and the functions that its files share.
 *
 * Shape:   w->out grows; a part that must stand before another is printed to a text of its own (write_apart). What a
 *          FROM offers is a scope: a list of sources, each with its columns as far as they are known.
 * Names:   printed aliases of our own begin with "_t" and a number; users' names cannot be confused with them
 *          since they are always in a scope of their own and looked up here first.
 * Errors:  -1 with w->e set.
 */
#ifndef TRANCHE_FORMAT_SQL_WRITE_H
#define TRANCHE_FORMAT_SQL_WRITE_H

#include "format/sql/function.h"
#include "format/sql/tree.h"

/* A column that a name of GoogleSQL means, when it is not just a column of that name. */
struct range_column {
    struct str name;    /* x of UNNEST(...) AS x, or its offset */
    struct str printed; /* "_t1"."x" */
    struct bq_field type;
    bool typed;
};

/* One table, subquery or UNNEST of a FROM. */
struct source {
    struct source *next;            /* in the order written */
    struct str alias;               /* as written; empty: none */
    struct str printed;             /* DuckDB's alias, quoted */
    const struct bq_schema *schema; /* NULL: not known */
    struct str *hidden;             /* columns that a star leaves out */
    uint32_t hidden_count;
    struct range_column column[2];
    uint32_t column_count;
    bool element; /* an UNNEST: its alias is column[0] */
    bool lambda;  /* an argument of a lambda */
};

struct scope {
    struct scope *outer;
    struct source *first, *last;
    struct str from; /* the FROM so far, for describe; empty: none */
    const struct select *select;
};

struct with {
    struct with *outer;
    struct str name;
    struct str text; /* "name" AS (...); empty: being printed (recursive) */
    bool recursive;
};

/* The arguments of a script's function whose body is printed. */
struct argument {
    struct str name, text;
};
struct frame {
    struct frame *outer;
    struct argument *argument;
    uint32_t count;
    uint32_t visible; /* functions of the script that the body may call */
};

/* An expression that was printed for its type's sake. It is not printed again: each level of a nested one would be
 * printed twice as often as the level around it. */
struct inferred {
    struct inferred *next; /* in its bucket */
    const struct expr *expr;
    const struct scope *scope; /* the place: the same expression may be printed at several */
    struct str from;           /* of the scope */
    const struct frame *frame;
    const struct with *with;
    bool no_describing;
    bool failed; /* the statement fails, with error */
    struct error error;
    struct str text;
    bool known;
    struct bq_field type;
};
#define INFERRED_BUCKETS 64

struct sql_writer {
    struct arena *arena;
    struct buf out;
    struct str text; /* the script's */
    const struct sql_inner *inner;
    const struct sql_env *env;
    struct sql_written *written;
    struct scope *scope;
    struct with *with;
    struct frame *frame;
    uint32_t frames;
    bool no_describing; /* types that only the catalog can find stay unknown */
    uint32_t aliases;   /* made so far */
    uint32_t depth;
    uint32_t expressions; /* printed so far */
    struct inferred *inferred[INFERRED_BUCKETS];
    struct error *e;
};

struct sql_call {
    const struct expr *expr; /* for its place */
    struct expr *const *item;
    uint32_t count;
    const struct call *call; /* NULL: an operator */
};

/* ---- Parts ---- */

int write_fail(const struct sql_writer *w, uint32_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int write_refuse(const struct sql_writer *w, uint32_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int write_deeper(struct sql_writer *w, uint32_t at) FALLIBLE;
void write_name(struct sql_writer *w, struct str name); /* "name" */
void write_type(struct sql_writer *w, const struct bq_field *type);
/* Takes off w->out again all that was appended since the mark; the text is in the arena. */
size_t write_mark(const struct sql_writer *w);
struct str write_take(struct sql_writer *w, size_t mark);

int write_expr(struct sql_writer *w, const struct expr *x) FALLIBLE;
void write_bytes(struct sql_writer *w, struct str bytes);
void write_float(struct sql_writer *w, struct str text);
int write_name_expr(struct sql_writer *w, const struct expr *x) FALLIBLE;
int write_parameter(struct sql_writer *w, const struct expr *x) FALLIBLE;
int write_system(struct sql_writer *w, const struct expr *x) FALLIBLE;
int write_cast(struct sql_writer *w, const struct expr *x) FALLIBLE;
int write_literal(struct sql_writer *w, const struct expr *x) FALLIBLE;
int write_untyped_array(struct sql_writer *w, const struct expr *x) FALLIBLE;
int write_untyped_struct(struct sql_writer *w, const struct expr *x) FALLIBLE;
/* A date part, or an INTERVAL's; empty: it is neither. */
struct str call_unit(const struct expr *x);
/* The expression as a value of a column or variable: constructors take the names and types of its fields. */
int write_as(struct sql_writer *w, const struct expr *x, const struct bq_field *type) FALLIBLE;
/* A STRUCT without names with those of the first one's fields, at whose place it stands in an array or a UNION; else x. */
const struct expr *named_like(struct sql_writer *w, const struct expr *first, const struct expr *x);
int write_call(struct sql_writer *w, const struct expr *x) FALLIBLE;
/* By a row of the table of functions that no user can name. */
int write_row(struct sql_writer *w, const char *name, const struct expr *at,
              struct expr *const *item, uint32_t count) FALLIBLE;
int write_orders(struct sql_writer *w, const struct order *order, uint32_t count) FALLIBLE;
int write_window(struct sql_writer *w, const struct window *win) FALLIBLE;

/* wanted: AS STRUCT and AS VALUE make one value; else they are columns. */
int write_query(struct sql_writer *w, const struct query *q, bool value) FALLIBLE;
int write_from(struct sql_writer *w, const struct from *f) FALLIBLE; /* into w->scope */
int write_table(struct sql_writer *w, const struct sql_name *name,
                struct sql_table *found) FALLIBLE;

/* A table that the catalog has, with its alias, into w->scope. */
int write_catalog_table(struct sql_writer *w, const struct from *f, struct str alias) FALLIBLE;
/* A subquery in the place of `table`, whose one source is `inner`. */
int write_pivot(struct sql_writer *w, const struct pivot *v, struct str table,
                const struct source *inner) FALLIBLE;
int write_unpivot(struct sql_writer *w, const struct unpivot *u, struct str table,
                  const struct source *inner) FALLIBLE;

struct scope *scope_open(struct sql_writer *w);
void scope_close(struct sql_writer *w);
struct source *scope_add(struct sql_writer *w, struct str alias);
/* The same with the alias it is printed with: its own, or a new one. That must follow what is printed. */
struct source *source_add(struct sql_writer *w, struct str alias);
void source_hide(struct sql_writer *w, struct source *s, struct str name); /* from stars */
struct str alias_new(struct sql_writer *w);
struct str quoted_name(struct sql_writer *w, struct str name); /* as write_name prints it */
/* The source of that alias, in this scope or one around it. */
const struct source *scope_find(const struct sql_writer *w, struct str alias);
/* A name that is not a plain column: the range column it means, or NULL. */
const struct range_column *scope_range(const struct sql_writer *w, struct str name);
/* The source around this query that has a column of that name, which no source of this one has; else NULL. */
const struct source *scope_outer_owner(const struct sql_writer *w, struct str name);
/* Is it known that no column and no alias has that name? */
bool scope_lacks(const struct sql_writer *w, struct str name);
/* Is a script's variable hidden by a column of that name? */
bool scope_has_column(struct sql_writer *w, struct str name);
const struct sql_variable *find_variable(const struct sql_writer *w, struct str name);
/* The type of an expression; false: it is not known. */
bool infer_type(struct sql_writer *w, const struct expr *x, struct bq_field *out);
/* Only what the text and the catalog's tables say. */
bool known_type(struct sql_writer *w, const struct expr *x, struct bq_field *out);
/* The text that infer_type has printed for x at this place; NULL: none. */
const struct inferred *inferred_find(const struct sql_writer *w, const struct expr *x);
/* The type of an expression that is printed already. */
bool describe_text(struct sql_writer *w, struct str expr, struct bq_field *out);

bool same_name(struct str a, struct str b); /* in any case of ASCII */
struct str expr_name(const struct expr *x); /* the name that a column gets from it; empty: none */

int write_dml(struct sql_writer *w, const struct dml *d) FALLIBLE;
int write_ddl(struct sql_writer *w, const struct ddl *d) FALLIBLE;

#endif
