/* duckdb_type.c -- sql.h: names and types as DuckDB's SQL writes them. */
#include "format/sql/sql.h"

void sql_duckdb_name(struct buf *out, struct str name)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.p[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, name.p[i]);
    }
    buf_add_char(out, '"');
}

void sql_duckdb_type(struct buf *out, const struct bq_field *f)
{
    static const char *const names[BQ_TYPE_COUNT] = {
        [BQ_STRING] = "VARCHAR",
        [BQ_BYTES] = "BLOB",
        [BQ_INTEGER] = "BIGINT",
        [BQ_FLOAT] = "DOUBLE",
        [BQ_BOOLEAN] = "BOOLEAN",
        [BQ_TIMESTAMP] = "TIMESTAMPTZ",
        [BQ_DATE] = "DATE",
        [BQ_TIME] = "TIME",
        [BQ_DATETIME] = "TIMESTAMP",
        [BQ_NUMERIC] = "DECIMAL(38,9)",
        [BQ_BIGNUMERIC] = "\"BIGNUMERIC\"",
        [BQ_JSON] = "JSON",
        [BQ_GEOGRAPHY] = "\"GEOGRAPHY\"",
        [BQ_INTERVAL] = "INTERVAL",
        [BQ_RANGE] = "\"RANGE\"",
    };

    if (f->type == BQ_RECORD) {
        buf_add_c(out, "STRUCT(");
        for (uint32_t i = 0; i < f->field_count; i++) {
            buf_add_c(out, i ? ", " : "");
            sql_duckdb_name(out, f->fields[i].name);
            buf_add_char(out, ' ');
            sql_duckdb_type(out, &f->fields[i]);
        }
        buf_add_char(out, ')');
    } else {
        buf_add_c(out, names[f->type]);
    }
    if (f->mode == BQ_REPEATED)
        buf_add_c(out, "[]");
}
