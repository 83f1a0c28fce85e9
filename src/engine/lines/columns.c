#include "engine/lines/columns.h"

#include "engine/lines/cutter.h"

static void add_lines(struct line_columns *columns, const struct shard *shard, const char *bytes,
                      const struct line_cut *cut)
{
    struct arena a = { 0 };
    struct lines it;
    struct line line;

    lines_init(&it, shard, bytes, cut);
    while (lines_next(&it, &line)) {
        arena_reset(&a);
        line_columns_add(columns, &a, line.text);
    }
    arena_release(&a);
}

int columns_of_lines(const struct input *in, const atomic_bool *stop, struct arena *a,
                     struct bq_schema *out, struct error *e)
{
    struct line_columns *columns = line_columns_new();
    struct piece piece = { 0 };
    struct cutter cutter;
    struct shard shard;
    int rc;

    cutter_init(&cutter, in, 0, 0);
    while ((rc = cutter_next(&cutter, &piece, &shard, e)) == 1) {
        if (stop && atomic_load(stop)) {
            rc = error_set(e, ERROR_CANCELLED, "interrupted");
            break;
        }
        if (!shard.overlong)
            add_lines(columns, &shard, piece.p, in->cut);
    }
    if (rc == 0)
        rc = line_columns_schema(columns, a, out, e);
    piece_release(&piece);
    line_columns_free(columns);
    return rc;
}
