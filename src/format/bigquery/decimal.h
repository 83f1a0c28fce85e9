/* decimal.h -- decimal numbers as texts: read in any spelling, rounded, written in one.
 *
 * Why: NUMERIC has 38 digits and BIGNUMERIC 76, which no type of C holds, and none of them may change.
 *
 * Threads: none.
 */
#ifndef TRANCHE_FORMAT_BIGQUERY_DECIMAL_H
#define TRANCHE_FORMAT_BIGQUERY_DECIMAL_H

#include <stdbool.h>

#include "base/str.h"

#define DECIMAL_DIGITS_MAX 400

/* Digits without zeros in front, of which `fraction` stand behind the point. */
struct bq_decimal {
    bool minus;
    char digit[DECIMAL_DIGITS_MAX];
    int count, fraction;
};
/* [+-]digits[.digits][e[+-]digits], of at most half the digits; false: it is none. */
bool decimal_read(struct str s, struct bq_decimal *out);
/* Keeps at most `most` digits behind the point, half away from zero, and no zeros at the end. */
void decimal_round(struct bq_decimal *d, int most);
void decimal_write(const struct bq_decimal *d, struct buf *out);

#endif
