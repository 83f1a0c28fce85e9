/* function.c -- see function.h: the groups, and the look-up of a call's row. */
#include "format/sql/function.h"

#include "base/mem.h"
#include "format/sql/lexer.h"
#include "format/sql/sql.h"

static const struct sql_function_group *const groups[] = {
    &sql_functions_operator, &sql_functions_general,   &sql_functions_string,
    &sql_functions_math,     &sql_functions_time,      &sql_functions_json,
    &sql_functions_array,    &sql_functions_aggregate,
};

const struct sql_function *sql_function_find(struct str name, uint32_t arguments,
                                             const struct sql_function **any)
{
    *any = NULL;
    for (size_t g = 0; g < ARRAY_LEN(groups); g++)
        for (uint32_t i = 0; i < groups[g]->count; i++) {
            const struct sql_function *f = &groups[g]->function[i];
            if (!sql_word_is(name, f->name))
                continue;
            *any = f;
            if (arguments >= f->min && (f->max == SQL_ARGUMENTS_ANY || arguments <= f->max))
                return f;
        }
    return NULL;
}

bool sql_function_at(uint32_t i, struct sql_function_info *out)
{
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        if (i < groups[g]->count) {
            *out = (struct sql_function_info){ groups[g]->function[i].name, groups[g]->name };
            return true;
        }
        i -= groups[g]->count;
    }
    return false;
}
