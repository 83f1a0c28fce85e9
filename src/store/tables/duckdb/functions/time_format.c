/* time_format.c -- FORMAT_DATE, FORMAT_TIMESTAMP and the like: times by a pattern of % letters. */
#include "store/tables/duckdb/functions/pattern.h"

#include <stdio.h>
#include <string.h>

#include "store/tables/duckdb/functions/part.h"

enum { HAS_DATE = 1, HAS_TIME = 2, HAS_ZONE = 4 };

/* The parts that a letter speaks of; 0: none does. */
static int part_of_letter(char letter)
{
    if (strchr("AaBbhCDdeFGgJjmQUuVWwxYy", letter))
        return HAS_DATE;
    if (strchr("HIklMPpRrSTXE", letter))
        return HAS_TIME;
    if (strchr("Zz", letter))
        return HAS_ZONE;
    return letter == 'c' ? HAS_DATE | HAS_TIME : letter == 's' ? HAS_DATE | HAS_TIME : 0;
}

struct moment {
    int64_t us, offset; /* local, and how far it is from UTC */
    int has;
    int64_t days, clock, year;
    int month, day, weekday;
};

static struct moment moment_of(int64_t us, int64_t offset, int has)
{
    struct moment m = {
        .us = us, .offset = offset, .has = has, .days = floor_div(us, CIVIL_DAY_US)
    };

    m.clock = us - m.days * CIVIL_DAY_US;
    m.weekday = part_weekday(m.days);
    civil_date(m.days, &m.year, &m.month, &m.day);
    return m;
}

/* how: what fills, and the width. Always true: the letter is one that is known. */
static bool add_number(struct buf *out, const char *how, int64_t v)
{
    char text[32];

    (void)snprintf(text, sizeof text, *how == ' ' ? "%*lld" : "%0*lld", how[1] - '0', (long long)v);
    buf_add_c(out, text);
    return true;
}

static void add_offset(struct buf *out, const struct moment *m, const char *colon)
{
    int64_t minutes = m->offset / (60 * SECOND_US), size = minutes < 0 ? -minutes : minutes;

    buf_addf(out, "%c%02lld%s%02lld", minutes < 0 ? '-' : '+', (long long)size / 60, colon,
             (long long)size % 60);
}

static void add_zone_name(struct buf *out, const struct moment *m)
{
    int64_t minutes = m->offset / (60 * SECOND_US), size = minutes < 0 ? -minutes : minutes;

    buf_add_c(out, "UTC");
    if (minutes)
        buf_addf(out, "%c%lld", minutes < 0 ? '-' : '+', (long long)size / 60);
    if (size % 60)
        buf_addf(out, ":%02lld", (long long)size % 60);
}

static bool write_name_letter(struct buf *out, const struct moment *m, char letter)
{
    bool day = letter == 'A' || letter == 'a';
    const char *name = day ? pattern_weekdays[m->weekday] : pattern_months[m->month - 1];

    if (!letter || !strchr("AaBbh", letter))
        return false;
    buf_add(out, name, letter == 'A' || letter == 'B' ? strlen(name) : 3);
    return true;
}

static bool write_date_letter(struct buf *out, const struct moment *m, char letter)
{
    int64_t iso_year;
    int iso_week;

    part_iso(m->days, &iso_year, &iso_week);
    switch (letter) {
    case 'C':
        return add_number(out, "02", m->year / 100);
    case 'd':
        return add_number(out, "02", m->day);
    case 'e':
        return add_number(out, " 2", m->day);
    case 'G':
        return add_number(out, "01", iso_year);
    case 'g':
        return add_number(out, "02", iso_year % 100);
    case 'J':
        return add_number(out, "03", (iso_week - 1) * 7 + (m->weekday + 6) % 7 + 1);
    case 'j':
        return add_number(out, "03", part_yearday(m->days));
    case 'm':
        return add_number(out, "02", m->month);
    case 'Q':
        return add_number(out, "01", (m->month - 1) / 3 + 1);
    case 'U':
        return add_number(out, "02", part_week(m->days, 0));
    case 'u':
        return add_number(out, "01", (m->weekday + 6) % 7 + 1);
    case 'V':
        return add_number(out, "02", iso_week);
    case 'W':
        return add_number(out, "02", part_week(m->days, 1));
    case 'w':
        return add_number(out, "01", m->weekday);
    case 'Y':
        return add_number(out, "01", m->year);
    case 'y':
        return add_number(out, "02", m->year % 100);
    default:
        return false;
    }
}

static bool write_clock_letter(struct buf *out, const struct moment *m, char letter)
{
    int64_t second = m->clock / SECOND_US, hour = second / 3600;

    switch (letter) {
    case 'H':
        return add_number(out, "02", hour);
    case 'I':
        return add_number(out, "02", (hour + 11) % 12 + 1);
    case 'k':
        return add_number(out, " 2", hour);
    case 'l':
        return add_number(out, " 2", (hour + 11) % 12 + 1);
    case 'M':
        return add_number(out, "02", second / 60 % 60);
    case 'P':
        buf_add_c(out, hour < 12 ? "am" : "pm");
        return true;
    case 'p':
        buf_add_c(out, hour < 12 ? "AM" : "PM");
        return true;
    case 'S':
        return add_number(out, "02", second % 60);
    case 's':
        return add_number(out, "01", floor_div(m->us - m->offset, SECOND_US));
    case 'Z':
        add_zone_name(out, m);
        return true;
    case 'z':
        add_offset(out, m, "");
        return true;
    default:
        return false;
    }
}

static bool write_sign_letter(struct buf *out, char letter)
{
    static const char letters[] = "%nt", signs[] = "%\n\t";
    const char *at = letter ? strchr(letters, letter) : NULL;

    if (at)
        buf_add_char(out, signs[at - letters]);
    return at != NULL;
}

/* Writes by what stands behind "%E": z, 4Y, *S, 3S. Returns its length; 0: none of these. */
static size_t write_extended(struct buf *out, const struct moment *m, struct str rest)
{
    char text[8];

    if (str_starts(rest, STR("z")) && m->has & HAS_ZONE) {
        add_offset(out, m, ":");
        return 1;
    }
    if (str_starts(rest, STR("4Y")) && m->has & HAS_DATE) {
        add_number(out, "04", m->year);
        return 2;
    }
    bool all = str_starts(rest, STR("*S"));
    if (!(m->has & HAS_TIME) || rest.len < 2 || rest.p[1] != 'S' ||
        !(all || (rest.p[0] >= '0' && rest.p[0] <= '9')))
        return 0;
    size_t digits = all ? 6 : (size_t)(rest.p[0] - '0');
    (void)snprintf(text, sizeof text, "%06lld", (long long)(m->clock % SECOND_US));
    while (all && digits && text[digits - 1] == '0')
        digits--;
    add_number(out, "02", m->clock / SECOND_US % 60);
    if (digits) {
        buf_add_char(out, '.');
        buf_add(out, text, digits < 6 ? digits : 6);
    }
    for (size_t i = 6; i < digits; i++)
        buf_add_char(out, '0');
    return 2;
}

static void write_pattern(struct buf *out, const struct moment *m, struct str pattern)
{
    for (size_t i = 0; i < pattern.len; i++) {
        char letter = i + 1 < pattern.len ? pattern.p[i + 1] : '\0';
        size_t used;

        if (pattern.p[i] != '%' || !letter) {
            buf_add_char(out, pattern.p[i]);
            continue;
        }
        i++;
        if (letter == 'E' &&
            (used = write_extended(out, m, str_sub(pattern, i + 1, pattern.len)))) {
            i += used;
            continue;
        }
        int needs = part_of_letter(letter);
        bool has = (needs & m->has) == needs;
        if (has && pattern_expansion(letter))
            write_pattern(out, m, str_of(pattern_expansion(letter)));
        else if (!has || !(write_name_letter(out, m, letter) || write_date_letter(out, m, letter) ||
                           write_clock_letter(out, m, letter) || write_sign_letter(out, letter)))
            buf_addf(out, "%%%c", letter);
    }
}

static enum call_outcome format_date(struct call *c)
{
    struct moment m = moment_of(arg_date(c, 1) * CIVIL_DAY_US, 0, HAS_DATE);

    write_pattern(&c->text, &m, arg_text(c, 0));
    return out_buffer(c);
}

static enum call_outcome format_time(struct call *c)
{
    struct moment m = moment_of(arg_int(c, 1), 0, HAS_TIME);

    write_pattern(&c->text, &m, arg_text(c, 0));
    return out_buffer(c);
}

static enum call_outcome format_datetime(struct call *c)
{
    struct moment m = moment_of(arg_int(c, 1), 0, HAS_DATE | HAS_TIME);

    write_pattern(&c->text, &m, arg_text(c, 0));
    return out_buffer(c);
}

static enum call_outcome format_timestamp(struct call *c)
{
    const struct zone *z = pattern_zone(c, 2);

    if (!z)
        return CALL_ERROR;
    int64_t local = zone_local(z, arg_int(c, 1));
    struct moment m = moment_of(local, local - arg_int(c, 1), HAS_DATE | HAS_TIME | HAS_ZONE);
    write_pattern(&c->text, &m, arg_text(c, 0));
    return out_buffer(c);
}

// clang-format off
static const struct function rows[] = {
    { "format_date", "SD:S", format_date, 0 }, { "format_date", "SM:S", format_datetime, 0 },
    { "format_date", "SZ:S", format_timestamp, 0 },
    { "format_time", "ST:S", format_time, 0 },
    { "format_datetime", "SM:S", format_datetime, 0 },
    { "format_timestamp", "SZ:S", format_timestamp, 0 }, { "format_timestamp", "SZS:S", format_timestamp, 0 },
};
// clang-format on
const struct function_table functions_time_format = FUNCTION_TABLE(rows);
