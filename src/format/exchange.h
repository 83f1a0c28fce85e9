/* exchange.h -- what a dialect needs beside the request: contents of files, and what its reply lacks.
 *
 * Why: a request can name files (gs://) that the upstream server cannot read, and a reply lacks what
 * only the caller knows. Each dialect of format/openai and format/google takes both in this form.
 *
 * Threads: none; values.
 */
#ifndef TRANCHE_FORMAT_EXCHANGE_H
#define TRANCHE_FORMAT_EXCHANGE_H

#include <stdint.h>

#include "base/str.h"
#include "format/request/request.h"

/* The content of a file that parts name by uri. */
struct file_content {
    struct str uri;
    struct str base64;
};
struct file_contents {
    const struct file_content *item;
    uint32_t count;
};
/* The content of the file of that name; NULL when it is not there, or files is. */
const struct file_content *file_content_find(const struct file_contents *files, struct str uri);

/* Members of a reply that the server does not give. */
struct reply_rules {
    const struct request *request; /* what was asked: candidates, form, logprobs */
    const char *model;             /* modelVersion when the body names none */
    const char *at;                /* appended to modelVersion after "@"; or NULL */
    const char *response_id;       /* when the body has no id */
    int64_t create_time_us;        /* when the body has none */
};

#endif
