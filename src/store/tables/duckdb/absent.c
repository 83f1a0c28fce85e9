/* absent.c -- operations of embedded.h that are being built. */
#include "store/tables/duckdb/embedded.h"

static int absent(struct error *e)
{
    return error_set(e, ERROR_UNIMPLEMENTED, "This is not there yet.");
}

int tables_query_run(struct tables *t, const struct tables_query *q, struct arena *a,
                     struct tables_result *out, struct error *e)
{
    (void)t, (void)q, (void)a, (void)out;
    return absent(e);
}

int query_translate(struct project *p, const struct tables_name *default_dataset, struct str sql,
                    struct arena *a, struct str *out, struct bq_schema *schema, struct error *e)
{
    (void)p, (void)default_dataset, (void)sql, (void)a, (void)out, (void)schema;
    return absent(e);
}

int query_defaults(struct project *p, const struct bq_schema *schema, struct arena *a,
                   struct str **out, struct error *e)
{
    (void)p, (void)schema, (void)a, (void)e;
    *out = NULL;
    return 0;
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
