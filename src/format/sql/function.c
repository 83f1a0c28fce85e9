/* function.c -- see function.h: the groups, and the look-up of a call's row. */
#include "format/sql/function.h"

#include "base/mem.h"
#include "format/sql/lexer.h"
#include "format/sql/sql.h"

/* Those that a call can name. */
static const struct sql_function_group *const groups[] = {
    &sql_functions_general, &sql_functions_string, &sql_functions_math,      &sql_functions_time,
    &sql_functions_json,    &sql_functions_array,  &sql_functions_aggregate,
};

static const struct sql_function *find_row(const struct sql_function_group *group, struct str name,
                                           uint32_t arguments, const struct sql_function **any)
{
    for (uint32_t i = 0; i < group->count; i++) {
        const struct sql_function *f = &group->function[i];
        if (!sql_word_is(name, f->name))
            continue;
        *any = f;
        if (arguments >= f->min && (f->max == SQL_ARGUMENTS_ANY || arguments <= f->max))
            return f;
    }
    return NULL;
}

const struct sql_function *sql_function_find(struct str name, uint32_t arguments,
                                             const struct sql_function **any)
{
    const struct sql_function *found = NULL;

    *any = NULL;
    for (size_t g = 0; g < ARRAY_LEN(groups) && !found; g++)
        found = find_row(groups[g], name, arguments, any);
    return found;
}

const struct sql_function *sql_operator_find(struct str name, uint32_t arguments)
{
    const struct sql_function *any;

    return find_row(&sql_functions_operator, name, arguments, &any);
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
