/* parse_function.c -- see parse.h: the definition of a function of a script. */
#include "format/sql/parse.h"

static int function_arguments(struct parser *p, struct function_def *f)
{
    if (parse_need_sign(p, "(") < 0)
        return -1;
    while (!parse_is_sign(p, 0, ")")) {
        struct bq_field argument = { .type = BQ_TYPE_COUNT };
        struct str name;
        if (parse_name(p, &name) < 0)
            return -1;
        if (!parse_words(p, "ANY", "TYPE")) {
            struct bq_field *type = parse_type(p);
            if (!type)
                return -1;
            argument = *type;
        }
        argument.name = name;
        PARSE_ADD(p, f->argument, f->argument_count, argument);
        if (!parse_sign(p, ","))
            break;
    }
    return parse_need_sign(p, ")");
}

struct function_def *parse_function_def(struct parser *p)
{
    struct function_def *f = arena_alloc(p->arena, sizeof(*f));

    f->at = parse_peek(p, 0)->at;
    if (parse_words(p, "IF", "NOT") && parse_need_word(p, "EXISTS") < 0)
        return NULL;
    if (parse_name(p, &f->name) < 0 || function_arguments(p, f) < 0)
        return NULL;
    if (parse_word(p, "RETURNS") && !(f->result = parse_type(p)))
        return NULL;
    if (parse_is_word(p, 0, "LANGUAGE")) {
        parse_refuse(p, parse_peek(p, 0)->at, "Functions in %.*s are not supported",
                     STR_ARG(parse_peek(p, 1)->text));
        return NULL;
    }
    if (parse_need_word(p, "AS") < 0 || parse_need_sign(p, "(") < 0 || !(f->body = parse_expr(p)) ||
        parse_need_sign(p, ")") < 0)
        return NULL;
    return f;
}
