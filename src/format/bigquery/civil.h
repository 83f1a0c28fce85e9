/* civil.h -- dates and times of BigQuery as numbers, and their texts.
 *
 * Units:   dates in days from 1970-01-01, times of day in microseconds, timestamps and datetimes in
 *          microseconds from 1970-01-01 00:00:00 (a timestamp's in UTC). Years 1 to 9999, Gregorian.
 * Errors:  false: the text is none of these.
 * Threads: none.
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_CIVIL_H
#define TRANCHE_FORMAT_BIGQUERY_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define CIVIL_DAY_US INT64_C(86400000000)
#define CIVIL_MIN_US INT64_C(-62135596800000000) /* 0001-01-01 00:00:00 */
#define CIVIL_MAX_US INT64_C(253402300799999999) /* 9999-12-31 23:59:59.999999 */

int64_t civil_days(int64_t year, int month, int day);
void civil_date(int64_t days, int64_t *year, int *month, int *day);

/* "2024-1-31" and "2024-01-31". */
bool civil_read_date(struct str text, int64_t *days);
/* "1:02:03", with a fraction of up to 6 digits. */
bool civil_read_time(struct str text, int64_t *us);
/* A date, and after " ", "T" or "t" perhaps a time. */
bool civil_read_datetime(struct str text, int64_t *us);
/* As a datetime, then perhaps "Z", " UTC", "+02", "+02:00" or " +02:00"; without one it is UTC. */
bool civil_read_timestamp(struct str text, int64_t *us);

/* Texts as cells have them; all end in NUL. */
#define CIVIL_BYTES 64
void civil_write_date(int64_t days, char text[CIVIL_BYTES]); /* 2024-01-31 */
void civil_write_time(int64_t us, char text[CIVIL_BYTES]);   /* 12:00:00[.ffffff] */
/* between: what stands between date and time, 'T' or ' '. */
void civil_write_datetime(int64_t us, char between, char text[CIVIL_BYTES]);

#endif
