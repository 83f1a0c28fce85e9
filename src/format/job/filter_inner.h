/* filter_inner.h -- the tree of a filter, which filter.c reads and filter_keep.c walks.
 *
 * Shape:   what AND or OR joins is a list of children, so that the walk goes only as deep as
 *          parentheses do.
 */
#ifndef TRANCHE_FORMAT_JOB_FILTER_INNER_H
#define TRANCHE_FORMAT_JOB_FILTER_INNER_H

#include "format/job/filter.h"

enum filter_kind { FILTER_ALL_OF, FILTER_ANY_OF, FILTER_NOT, FILTER_TEST };
enum filter_field {
    FILTER_DISPLAY_NAME,
    FILTER_MODEL,
    FILTER_STATE,
    FILTER_CREATE_TIME,
    FILTER_UPDATE_TIME,
    FILTER_LABEL,
};
enum filter_op { FILTER_EQ, FILTER_NE, FILTER_LT, FILTER_LE, FILTER_GT, FILTER_GE, FILTER_HAS };

struct filter {
    enum filter_kind kind;
    struct filter *child; /* of all but tests; none in an ALL_OF keeps everything */
    struct filter *next;  /* of one parent */
    /* A test: */
    enum filter_field field;
    enum filter_op op;
    struct str label;  /* its key */
    const char *value; /* ends in NUL, for globs */
    int64_t time_us;
};

#endif
