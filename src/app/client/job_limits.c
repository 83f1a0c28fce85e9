#include "app/client/job_limits.h"

#define DIGITS_MAX 15

/* Digits, with a point and more digits perhaps: what people write, and JSON too. */
static bool is_decimal(const char *text, bool fraction)
{
    unsigned digits = 0, points = 0;

    for (const char *p = text; *p; p++) {
        if (*p == '.' && fraction && p > text && p[1] != '\0')
            points++;
        else if (*p >= '0' && *p <= '9')
            digits++;
        else
            return false;
    }
    bool padded = text[0] == '0' && text[1] != '\0' && text[1] != '.';
    return digits > 0 && digits <= DIGITS_MAX && points <= 1 && !padded;
}

static int check(const char *option, const char *value, const char *like, struct error *e)
{
    if (!value || is_decimal(value, true))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "--%s takes a number such as %s, not \"%s\"",
                     option, like, value);
}

bool job_limits_given(const struct job_limits *o)
{
    return o->budget_usd || o->max_error_rate || o->priority || o->budget_tokens;
}

int job_limits_check(const struct job_limits *o, struct error *e)
{
    const char *priority = o->priority ? o->priority : "0";

    if (check("budget-usd", o->budget_usd, "2.50", e) < 0 ||
        check("max-error-rate", o->max_error_rate, "0.05", e) < 0)
        return -1;
    if (is_decimal(priority[0] == '-' ? priority + 1 : priority, false))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "--priority takes a whole number, not \"%s\"",
                     priority);
}

void job_limits_write(const struct job_limits *o, struct json_writer *w)
{
    if (o->budget_usd || o->budget_tokens) {
        json_object(w, "budget");
        if (o->budget_usd)
            json_add_raw(w, "usd", str_of(o->budget_usd));
        if (o->budget_tokens)
            json_add_uint(w, "tokens", o->budget_tokens);
        json_end(w);
    }
    if (o->max_error_rate)
        json_add_raw(w, "maxErrorRate", str_of(o->max_error_rate));
    if (o->priority)
        json_add_raw(w, "priority", str_of(o->priority));
}
