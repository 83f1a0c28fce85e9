#include "app/run/faults.h"

#include "app/cli/terminal.h"

void fault_text(const char *file, const struct line *l, const struct violation *v, struct buf *out)
{
    struct buf plain = BUF_INIT(FAULT_LINE_BYTES_MAX);

    buf_addf(&plain, "%s:%llu: %s%s%s %s (byte %llu)", file, (unsigned long long)l->line_no,
             v->path, v->path[0] ? ": " : "", v->message, v->remedy,
             (unsigned long long)(l->offset + v->offset));
    buf_add_plain(out, buf_str(&plain), false);
    buf_add_char(out, '\n');
    buf_release(&plain);
}

void fault_json(const char *file, const struct line *l, const struct violation *v, struct buf *out)
{
    buf_add_c(out, "{\"file\":");
    buf_add_json(out, str_of(file));
    buf_addf(out, ",\"line\":%llu,\"offset\":%llu,\"line_offset\":%zu,\"path\":",
             (unsigned long long)l->line_no, (unsigned long long)(l->offset + v->offset),
             v->offset);
    buf_add_json(out, str_of(v->path));
    buf_add_c(out, ",\"message\":");
    buf_add_json(out, str_of(v->message));
    buf_add_c(out, ",\"remedy\":");
    buf_add_json(out, str_of(v->remedy));
    buf_add_c(out, "}\n");
}
