#include "store/db/db_inner.h"
struct db *db_open_postgres(const char *url, struct error *e)
{
    (void)url;
    (void)error_set(e, ERROR_UNIMPLEMENTED, "no");
    return NULL;
}
