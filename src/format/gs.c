#include "format/gs.h"

#include <string.h>

bool gs_is(struct str uri)
{
    return str_starts(uri, STR(GS_SCHEME));
}

bool gs_split(struct str uri, struct str *bucket, struct str *name)
{
    if (!gs_is(uri))
        return false;
    struct str rest = str_sub(uri, strlen(GS_SCHEME), uri.len);
    size_t slash = str_find(rest, STR("/"));
    if (slash == SIZE_MAX)
        slash = rest.len;
    *bucket = str_sub(rest, 0, slash);
    *name = str_sub(rest, slash + 1, rest.len);
    return bucket->len > 0;
}

void gs_add(struct buf *out, struct str bucket, struct str name)
{
    buf_add_c(out, GS_SCHEME);
    buf_add_str(out, bucket);
    buf_add_char(out, '/');
    buf_add_str(out, name);
}
