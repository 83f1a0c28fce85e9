/* absent.c -- operations of embedded.h that are being built. */
#include "store/tables/duckdb/embedded.h"

static int absent(struct error *e)
{
    return error_set(e, ERROR_UNIMPLEMENTED, "This is not there yet.");
}

int tables_load_files(struct tables *t, const struct tables_load *l, struct arena *a,
                      struct tables_loaded *out, struct error *e)
{
    (void)t, (void)l, (void)a, (void)out;
    return absent(e);
}

int tables_extract_file(struct tables *t, const struct tables_extract *x,
                        struct tables_outcome *out, struct error *e)
{
    (void)t, (void)x, (void)out;
    return absent(e);
}
