/* tree.h -- what the parser makes of a text and the writer prints: expressions, queries, statements.
 *
 * Shape:   nodes live in the arena of the parse; names and texts are decoded. `at` is the byte where a node
 *          begins, `end` one past its last. Types are struct bq_field: an array is BQ_REPEATED of its element.
 */
#ifndef TRANCHE_FORMAT_SQL_TREE_H
#define TRANCHE_FORMAT_SQL_TREE_H

#include "format/sql/sql.h"

struct query;
struct call;

// clang-format off
enum expr_kind {
    EXPR_NULL,
    EXPR_BOOL,      /* text: TRUE or FALSE */
    EXPR_INTEGER,   /* text: decimal digits, perhaps with "-" */
    EXPR_FLOAT,     /* text as written */
    EXPR_STRING,    /* text */
    EXPR_BYTES,     /* text: the bytes */
    EXPR_LITERAL,   /* DATE '...': type, text */
    EXPR_PARAMETER, /* text: the name, or the place in digits */
    EXPR_SYSTEM,    /* @@name: text */
    EXPR_NAME,      /* text */
    EXPR_FIELD,     /* item[0].text */
    EXPR_INDEX,     /* item[0][item[1]]; text: OFFSET, ORDINAL, SAFE_OFFSET, SAFE_ORDINAL, KEY or nothing */
    EXPR_CALL,      /* call; item: arguments */
    EXPR_OPERATOR,  /* text: the row of the table of functions; item: operands */
    EXPR_AND, EXPR_OR, /* item: two or more */
    EXPR_NOT,
    EXPR_IS,        /* text: NULL, TRUE, FALSE; negated */
    EXPR_BETWEEN,   /* negated */
    EXPR_IN,        /* item[0] in the others; negated */
    EXPR_IN_QUERY,  /* query; negated */
    EXPR_IN_UNNEST, /* item[1] is the array; negated */
    EXPR_LIKE_LIST, /* item[0] LIKE ANY or ALL of the others; text: ANY or ALL; negated */
    EXPR_LIKE_UNNEST, /* item[1] is the array; text: ANY or ALL; negated */
    EXPR_CASE,      /* item: [operand] when then ... [else]; has_operand, has_else */
    EXPR_CAST,      /* type, item[0]; safe; text: FORMAT with item[1] and perhaps a zone, or ZONE with item[1] */
    EXPR_EXTRACT,   /* item: value, part, [time zone] */
    EXPR_INTERVAL,  /* item[0]; text: DAY, YEAR TO MONTH */
    EXPR_PART,      /* text: DAY, WEEK(MONDAY) */
    EXPR_ARRAY,     /* item; type, or none: BQ_TYPE_COUNT */
    EXPR_STRUCT,    /* item, name; type, or none */
    EXPR_QUERY,     /* (SELECT ...) */
    EXPR_ARRAY_QUERY,
    EXPR_EXISTS,
    EXPR_LAMBDA,    /* name: the arguments; item[0]: the body */
    EXPR_DEFAULT    /* DEFAULT in VALUES and SET */
};
// clang-format on

struct expr {
    enum expr_kind kind;
    uint16_t height;
    bool negated, safe, has_operand, has_else, quoted;
    bool bracketed; /* written in brackets of its own */
    uint32_t at, end;
    struct str text;
    struct expr **item;
    struct str *name; /* of the items of a STRUCT; empty: none */
    uint32_t count;
    struct bq_field *type;
    struct query *query;
    struct call *call;
};

struct order {
    struct expr *key;
    bool descending, nulls_said, nulls_first;
};

enum frame_bound {
    FRAME_UNBOUNDED_BEFORE,
    FRAME_BEFORE,
    FRAME_CURRENT,
    FRAME_AFTER,
    FRAME_UNBOUNDED_AFTER
};
struct window {
    struct str base; /* name of another window; empty: none */
    uint32_t at;
    struct expr **partition;
    uint32_t partition_count;
    struct order *order;
    uint32_t order_count;
    bool framed, range; /* ROWS, or RANGE */
    enum frame_bound from, to;
    struct expr *from_value, *to_value;
};

struct call {
    struct str name;           /* as written, parts joined by dots */
    struct sql_name path;      /* of a routine that is not built in */
    bool safe, distinct, star; /* star: COUNT(*) */
    bool ignore_nulls, respect_nulls;
    struct str *argument_name; /* of named arguments, empty: by place; NULL: all by place */
    struct order *order;
    uint32_t order_count;
    struct expr *limit;
    struct expr *having; /* HAVING MAX or MIN */
    bool having_max;
    struct expr *where;
    bool windowed;
    struct window window; /* `OVER name`: base alone, and named */
    bool window_named;
};

/* ---- Queries ---- */

struct select_item {
    struct expr *value; /* of a star: x in x.*, or NULL */
    struct str alias;   /* empty: none */
    bool star;
    struct str *except;
    uint32_t except_count;
    struct str *replace_name;
    struct expr **replace;
    uint32_t replace_count;
    uint32_t at;
};

enum from_kind {
    FROM_TABLE, /* name, or a path that begins with an alias */
    FROM_QUERY,
    FROM_UNNEST, /* value */
    FROM_JOIN,
    FROM_BRACKETS /* left alone */
};
enum join_kind { JOIN_COMMA, JOIN_CROSS, JOIN_INNER, JOIN_LEFT, JOIN_RIGHT, JOIN_FULL };

struct pivot_value {
    struct expr *value;
    struct str alias;
};
struct pivot {
    struct select_item *aggregate;
    uint32_t aggregate_count;
    struct expr *key;
    struct pivot_value *value;
    uint32_t value_count;
    struct str alias;
};
struct unpivot_column {
    struct str *name;   /* columns of one set */
    struct expr *label; /* NULL: the name */
};
struct unpivot {
    bool include_nulls;
    struct str *value; /* names of the columns that are made */
    uint32_t value_count;
    struct str key;
    struct unpivot_column *column;
    uint32_t column_count;
    struct str alias;
};

struct from {
    enum from_kind kind;
    uint16_t height;
    uint32_t at, end;
    struct str *path; /* FROM_TABLE: parts as written, dots in quotes split */
    uint32_t path_count;
    struct sql_name name; /* the same as a table's name */
    struct query *query;
    struct expr *value;
    struct str alias;
    bool with_offset;
    struct str offset; /* its alias; "offset" when none is written */
    struct expr *system_time;
    struct expr *sample; /* percent */
    struct pivot *pivot;
    struct unpivot *unpivot;
    enum join_kind join;
    struct from *left, *right;
    struct expr *on;
    struct str *using;
    uint32_t using_count;
};

struct group_item {
    enum { GROUP_VALUE, GROUP_ROLLUP, GROUP_CUBE, GROUP_SETS, GROUP_EMPTY, GROUP_LIST } kind;
    struct expr *value; /* GROUP_VALUE */
    struct group_item *item;
    uint32_t count;
};

struct named_window {
    struct str name;
    struct window window;
};

struct select {
    uint32_t at;
    bool distinct, as_struct, as_value;
    struct select_item *item;
    uint32_t count;
    struct from *from;
    struct expr *where, *having, *qualify;
    bool group_all;
    struct group_item *group;
    uint32_t group_count;
    struct named_window *window;
    uint32_t window_count;
};

struct cte {
    struct str name;
    struct query *query;
    uint32_t at;
};

struct query {
    uint32_t at, end;
    bool recursive;
    struct cte *with;
    uint32_t with_count;
    /* One of: a SELECT; a query in brackets; several joined by one operator. */
    struct select *select;
    struct query *inner;
    struct query **term;
    uint32_t term_count;
    struct str operator; /* UNION, INTERSECT, EXCEPT */
    bool all, by_name;
    struct order *order;
    uint32_t order_count;
    struct expr *limit, *offset;
};

/* ---- Statements ---- */

struct assignment {
    struct str *path; /* column, or column.field */
    uint32_t path_count;
    struct expr *value;
    uint32_t at;
};

enum merge_when { MERGE_MATCHED, MERGE_NOT_MATCHED, MERGE_NOT_BY_SOURCE };
enum merge_do { MERGE_UPDATE, MERGE_DELETE, MERGE_INSERT, MERGE_INSERT_ROW };
struct merge_action {
    enum merge_when when;
    enum merge_do action;
    struct expr *condition;
    struct assignment *set;
    uint32_t set_count;
    struct str *column;
    uint32_t column_count;
    struct expr **value;
    uint32_t value_count;
};

struct dml {
    struct sql_name target;
    struct str alias;
    struct str *column; /* INSERT (columns); NULL: all */
    uint32_t column_count;
    struct expr ***row; /* VALUES */
    uint32_t *row_width;
    uint32_t row_count;
    struct query *query;
    struct assignment *set;
    uint32_t set_count;
    struct from *from;  /* UPDATE ... FROM; MERGE's source */
    struct expr *where; /* also MERGE's ON */
    struct merge_action *action;
    uint32_t action_count;
};

/* name = value of OPTIONS. */
struct option {
    struct str name;
    struct expr *value;
    uint32_t at;
};
struct options {
    struct option *item;
    uint32_t count;
    bool written;
};
struct column_def {
    struct bq_field field;
    bool typed;
    struct expr *default_value;
    struct options options;
    uint32_t at;
};
struct alter {
    struct sql_alter out; /* all but what the writer makes */
    struct expr *default_value;
    struct options options;
    uint32_t at;
};

enum sql_object { OBJECT_TABLE, OBJECT_VIEW, OBJECT_SCHEMA };
struct ddl {
    struct sql_ddl out; /* all but what the writer makes */
    enum sql_object object;
    struct column_def *column;
    uint32_t column_count;
    struct expr *partition; /* PARTITION BY */
    struct str *cluster;
    uint32_t cluster_count;
    struct options options;
    struct query *query;
    struct alter *alter;
    uint32_t alter_count;
};

/* CREATE TEMP FUNCTION name(arguments) AS (body). */
struct function_def {
    struct str name;
    struct bq_field *argument; /* type BQ_TYPE_COUNT: ANY TYPE */
    uint32_t argument_count;
    struct bq_field *result; /* NULL: the body's type */
    struct expr *body;
    uint32_t at;
};

/* The tree of a step. */
struct sql_inner {
    enum sql_kind kind;
    struct query *query; /* of a SELECT and of SQL_FOR */
    struct dml *dml;
    struct ddl *ddl;
    struct expr **value; /* of SQL_VALUES */
    uint32_t value_count;
    const struct bq_field *cast;          /* the type that the first becomes, or NULL */
    struct function_def *const *function; /* those of the script before the step */
    uint32_t function_count;
};

#endif
