/* hear.h -- a request as a raw server of a test hears it: its head, and the body that a length announces.
 *
 * Threads: any; b is the caller's.
 */
#ifndef TRANCHE_TESTS_HEAR_H
#define TRANCHE_TESTS_HEAR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"

/* Into b, cleared first; false when the client has gone. */
static bool hear(int fd, struct buf *b)
{
    size_t wanted = SIZE_MAX;

    buf_clear(b);
    while (b->len < wanted) {
        char part[16384];
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            return false;
        buf_add(b, part, (size_t)n);
        const char *end = strstr(b->p, "\r\n\r\n"), *len = strstr(b->p, "Content-Length: ");
        if (end)
            wanted = (size_t)(end + 4 - b->p) + (len ? strtoul(len + 16, NULL, 10) : 0);
    }
    return true;
}

#endif
