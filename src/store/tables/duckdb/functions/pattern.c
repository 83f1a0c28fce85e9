/* pattern.c -- pattern.h */
#include "store/tables/duckdb/functions/pattern.h"

#include <stddef.h>

const char *const pattern_months[12] = { "January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December" };
const char *const pattern_weekdays[7] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday" };

const char *pattern_expansion(char letter)
{
    switch (letter) {
    case 'F':
        return "%Y-%m-%d";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    case 'R':
        return "%H:%M";
    case 'r':
        return "%I:%M:%S %p";
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    default:
        return NULL;
    }
}

const struct zone *pattern_zone(struct call *c, uint32_t i)
{
    struct str name = c->arguments > i ? arg_text(c, i) : STR("UTC");
    const struct zone *z = zone_find(name);

    if (!z)
        (void)call_refuse(c, "Invalid time zone: %.*s", STR_ARG(str_cut(name, 100)));
    return z;
}
