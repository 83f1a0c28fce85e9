/* part.h -- parts of dates and times: DAY, WEEK(MONDAY), ISOYEAR; truncation, differences, calendar facts.
 *
 * Units:   days and microseconds as format/bigquery/civil.h has them.
 * Threads: none.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_PART_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_PART_H

#include "base/str.h"
#include "format/bigquery/civil.h"

#define SECOND_US INT64_C(1000000)

// clang-format off
#define PARTS(X)                                                             \
    X(MICROSECOND) X(MILLISECOND) X(SECOND) X(MINUTE) X(HOUR) X(DAY) X(WEEK) \
    X(ISOWEEK) X(MONTH) X(QUARTER) X(YEAR) X(ISOYEAR) X(DAYOFWEEK) X(DAYOFYEAR)
// clang-format on
enum part_kind {
#define X(name) PART_##name,
    PARTS(X)
#undef X
        PART_COUNT
};

struct part {
    enum part_kind kind;
    int begin; /* of WEEK: its first day, 0 is Sunday */
};

bool part_read(struct str name, struct part *out);
/* Microseconds of a part up to DAY; else 0. */
int64_t part_us(enum part_kind kind);

int64_t floor_div(int64_t a, int64_t b);
int part_weekday(int64_t days); /* 0 is Sunday */
int part_yearday(int64_t days); /* from 1 */
int part_month_days(int64_t year, int month);
/* The week of the year, from 0: days before its first `begin` are of week 0. */
int part_week(int64_t days, int begin);
void part_iso(int64_t days, int64_t *year, int *week);

/* The first day of the DAY, WEEK, MONTH, ... that the day is in. */
int64_t part_trunc_day(struct part p, int64_t days);
/* The first day of the next one. */
int64_t part_next_day(struct part p, int64_t days);
/* Number of boundaries of a part from DAY up between b and a. */
int64_t part_diff_days(struct part p, int64_t a, int64_t b);
/* n months later, at the month's last day at most. */
int64_t part_add_months(int64_t days, int64_t n);

#endif
