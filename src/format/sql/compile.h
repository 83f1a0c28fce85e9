/* compile.h -- how a script becomes a program of steps (sql.h): the steps so far, and the blocks and loops that are open.
 *
 * Shape:   every function returns -1 on an error and has set c->p.e; one that gives a step gives its index.
 */
#ifndef TRANCHE_FORMAT_SQL_COMPILE_H
#define TRANCHE_FORMAT_SQL_COMPILE_H

#include "format/sql/parse.h"

enum scope_kind { SCOPE_BLOCK, SCOPE_HANDLER, SCOPE_LOOP, SCOPE_FOR };

/* A block or loop around the statement that is compiled. */
struct scope {
    enum scope_kind kind;
    struct str label;
    uint32_t *leave; /* jumps that go behind the scope */
    uint32_t leave_count;
    uint32_t again; /* of a loop: where CONTINUE goes */
};

struct compiler {
    struct parser p;
    struct sql_step *step;
    uint32_t count;
    struct scope scope[2 * SQL_BLOCKS_MAX]; /* a block and its handler, or a loop, at each depth */
    uint32_t depth;
};

int64_t compile_step(struct compiler *c, enum sql_step_kind kind, uint32_t at);
/* A step with something to write. */
int64_t compile_inner(struct compiler *c, enum sql_step_kind kind, uint32_t at,
                      struct sql_inner *inner);
/* The jump that is taken unless the condition holds; NULL: it could not be read. */
int64_t compile_condition(struct compiler *c, uint32_t at, struct expr *condition);
/* Statements up to one of the words, which is not taken; ends NULL: up to the end of the text. */
int compile_statements(struct compiler *c, const char *const *ends) FALLIBLE;
/* 1, 0: the next token begins no such statement, -1. */
int compile_flow(struct compiler *c) FALLIBLE;

#endif
