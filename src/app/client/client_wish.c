#include "app/client/client_wish.h"

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

bool wish_given(const struct wish *w)
{
    return w->budget_usd || w->max_error_rate || w->priority || w->budget_tokens;
}

int wish_check(const struct wish *w, struct error *e)
{
    const char *priority = w->priority ? w->priority : "0";

    if (check("budget-usd", w->budget_usd, "2.50", e) < 0 ||
        check("max-error-rate", w->max_error_rate, "0.05", e) < 0)
        return -1;
    if (is_decimal(priority[0] == '-' ? priority + 1 : priority, false))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "--priority takes a whole number, not \"%s\"",
                     priority);
}

void wish_write(const struct wish *w, struct json_writer *out)
{
    if (w->budget_usd || w->budget_tokens) {
        json_object(out, "budget");
        if (w->budget_usd)
            json_add_raw(out, "usd", str_of(w->budget_usd));
        if (w->budget_tokens)
            json_add_uint(out, "tokens", w->budget_tokens);
        json_end(out);
    }
    if (w->max_error_rate)
        json_add_raw(out, "maxErrorRate", str_of(w->max_error_rate));
    if (w->priority)
        json_add_raw(out, "priority", str_of(w->priority));
}
