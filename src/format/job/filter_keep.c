/* filter_keep.c -- whether a job is one that a filter asks for. */
#include "format/job/filter_inner.h"

#include "base/json.h"

static bool test_holds(const struct filter *f, const struct job *j);

/* As deep as parentheses were, which is bounded. */
bool filter_keeps(const struct filter *f, const struct job *j)
{
    if (f->kind == FILTER_TEST)
        return test_holds(f, j);
    if (f->kind == FILTER_NOT)
        return !filter_keeps(f->child, j);
    bool wanted = f->kind == FILTER_ANY_OF;
    for (const struct filter *child = f->child; child; child = child->next)
        if (filter_keeps(child, j) == wanted)
            return wanted;
    return !wanted;
}

/* `:` takes * for any run of characters, the others mean it as it stands. */
static bool text_matches(enum filter_op op, const char *value, struct str text)
{
    struct arena a = { 0 };

    if (op != FILTER_HAS)
        return str_eq_c(text, value);
    bool match = str_glob(value, arena_copy(&a, text.p, text.len));
    arena_release(&a);
    return match;
}

static bool time_holds(const struct filter *f, int64_t us)
{
    switch (f->op) {
    case FILTER_LT:
        return us < f->time_us;
    case FILTER_LE:
        return us <= f->time_us;
    case FILTER_GT:
        return us > f->time_us;
    case FILTER_GE:
        return us >= f->time_us;
    case FILTER_NE:
        return us != f->time_us;
    case FILTER_EQ:
    case FILTER_HAS:
        break;
    }
    return us == f->time_us;
}

static bool state_matches(const char *value, enum job_state s)
{
    struct str name = str_of(value);

    return str_eq_c(name, job_state_name(s)) || str_eq_c(name, job_state_vertex(s)) ||
           str_eq_c(name, job_state_gemini(s));
}

/* The resource's name, or its last step: what a user calls the model. */
static bool model_matches(const struct filter *f, struct str model)
{
    struct str last = model;

    for (size_t i = model.len; i > 0 && last.len == model.len; i--)
        if (model.p[i - 1] == '/')
            last = str_sub(model, i, model.len);
    return text_matches(f->op, f->value, model) || text_matches(f->op, f->value, last);
}

static bool member_find(struct str object, struct str key, struct str *value)
{
    struct json_member m = { 0 };

    while (json_member_next(object, &m)) {
        if (!str_eq(m.key, key))
            continue;
        *value = m.value;
        return true;
    }
    return false;
}

/* A spec is JSON of ours, and no label has a character that JSON escapes. */
static bool label_find(const struct job *j, struct str key, struct str *value)
{
    struct str labels;

    if (!member_find(j->spec, STR("labels"), &labels) || !member_find(labels, key, value))
        return false;
    *value = str_sub(*value, 1, value->len >= 2 ? value->len - 2 : 0);
    return true;
}

static bool label_matches(const struct filter *f, const struct job *j)
{
    struct str value;

    return label_find(j, f->label, &value) && text_matches(f->op, f->value, value);
}

static bool matches(const struct filter *f, const struct job *j)
{
    switch (f->field) {
    case FILTER_DISPLAY_NAME:
        return text_matches(f->op, f->value, j->display_name);
    case FILTER_MODEL:
        return model_matches(f, j->model);
    case FILTER_STATE:
        return state_matches(f->value, j->state);
    case FILTER_LABEL:
        return label_matches(f, j);
    case FILTER_CREATE_TIME:
    case FILTER_UPDATE_TIME:
        break;
    }
    return false;
}

static bool test_holds(const struct filter *f, const struct job *j)
{
    if (f->field == FILTER_CREATE_TIME || f->field == FILTER_UPDATE_TIME)
        return time_holds(f, f->field == FILTER_CREATE_TIME ? j->create_us : j->update_us);
    return matches(f, j) == (f->op != FILTER_NE);
}
