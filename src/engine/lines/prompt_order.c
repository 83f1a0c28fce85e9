#include "engine/lines/prompt_order.h"

#include <string.h>

/* The place in a prompt's stream at which a comparison stands. */
struct cursor {
    const struct request *r;
    const struct content *content; /* whose parts come next; NULL: the next turn begins */
    uint32_t turn, part;
    bool system_done;
    struct str rest; /* of the current chunk */
};

static struct str part_bytes(const struct part *p)
{
    if (p->text.len)
        return p->text;
    return p->data.len ? p->data : p->uri;
}

/* A byte that no text has stands for the role, so that turns do not run into each other. */
static struct str role_mark(enum role role)
{
    static const struct str marks[] = {
        [ROLE_USER] = { "\xF8", 1 },
        [ROLE_MODEL] = { "\xF9", 1 },
        [ROLE_FUNCTION] = { "\xFA", 1 },
    };

    return marks[role];
}

/* Moves to the next content; false when there is none. The system instruction has no mark. */
static bool next_content(struct cursor *c)
{
    c->part = 0;
    if (!c->system_done) {
        c->system_done = true;
        c->content = c->r->system;
        return true;
    }
    if (c->turn == c->r->content_count)
        return false;
    c->content = &c->r->content[c->turn++];
    c->rest = role_mark(c->content->role);
    return true;
}

/* Makes rest not empty; false at the end of the stream. */
static bool refill(struct cursor *c)
{
    while (c->rest.len == 0) {
        if (c->content && c->part < c->content->part_count)
            c->rest = part_bytes(&c->content->part[c->part++]);
        else if (!next_content(c))
            return false;
    }
    return true;
}

int prompt_cmp(const struct request *a, const struct request *b)
{
    struct cursor x = { .r = a }, y = { .r = b };

    for (;;) {
        bool more_x = refill(&x), more_y = refill(&y);
        if (!more_x || !more_y)
            return (int)more_x - (int)more_y;
        size_t n = x.rest.len < y.rest.len ? x.rest.len : y.rest.len;
        int order = memcmp(x.rest.p, y.rest.p, n);
        if (order)
            return order;
        x.rest = str_sub(x.rest, n, x.rest.len);
        y.rest = str_sub(y.rest, n, y.rest.len);
    }
}
