#include "engine/lines/model_report.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/client/http_client.h"

#define ANSWER_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* The operator's headers and the credential, until NULL, in the arena. */
static const char *const *headers_of(const struct upstream *u, struct arena *a)
{
    const char **list = arena_array(a, UPSTREAM_HEADERS_MAX + 2, sizeof *list);
    struct buf secret = BUF_INIT(CREDENTIAL_BYTES_MAX);
    struct error e;
    size_t count = 0;

    for (; u->header && u->header[count] && count < UPSTREAM_HEADERS_MAX; count++)
        list[count] = u->header[count];
    struct credential *c = credential_new(&u->credential, clock_system(), u->ca_file, &e);
    if (c && credential_wait(c, REPORT_MS, &secret, &e) > 0 && secret.len) {
        bool bearer = u->wire == WIRE_OPENAI || credential_is_token(c);
        list[count] = arena_textf(a, "%s%s",
                                  bearer ? "Authorization: Bearer " : "x-goog-api-key: ", secret.p);
    }
    credential_free(c);
    buf_release(&secret);
    return list;
}

/* The answer of GET, as JSON in the arena; NULL when there is none. */
static yyjson_val *ask(const struct upstream *u, const char *url, struct arena *a)
{
    const struct http_out out = {
        .method = "GET",
        .url = url,
        .header = headers_of(u, a),
        .body_fd = -1,
        .timeout_ms = REPORT_MS,
        .connect_ms = REPORT_MS,
        .ca_file = u->ca_file,
        .body_max = ANSWER_BYTES_MAX,
    };
    struct http_client *client = http_client_new();
    struct http_in in = { 0 };
    struct error e;
    size_t at = 0;
    yyjson_val *root = NULL;

    if (http_do(client, &out, &in, &e) < 0)
        log_info("%s does not say which model it has: %s", u->name, e.msg);
    else if (in.status == 200)
        root = json_parse(a, (struct str){ arena_copy(a, in.body.p, in.body.len), in.body.len },
                          &at, &e);
    http_in_release(&in);
    http_client_free(client);
    return root;
}

/* The entry of the name in OpenAI's list. */
static yyjson_val *entry_of(yyjson_val *list, const char *name)
{
    size_t i, count;
    yyjson_val *model;

    yyjson_arr_foreach(json_get(list, "data"), i, count, model)
    {
        if (str_eq_c(json_str(json_get(model, "id")), name))
            return model;
    }
    return NULL;
}

bool model_report(const struct upstream *u, const char *name, struct buf *out)
{
    static const char *const members[] = { "root", "version", "meta" };
    struct arena a = { 0 };
    size_t before = out->len;

    if (u->proxy) /* this client has none of its own */
        return false;
    yyjson_val *model = u->wire == WIRE_OPENAI
                            ? entry_of(ask(u, arena_textf(&a, "%s/models", u->url), &a), name)
                            : ask(u, arena_textf(&a, "%s/models/%s", u->url, name), &a);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        yyjson_val *value = json_get(model, members[i]);
        if (!value || (u->wire == WIRE_GEMINI && strcmp(members[i], "version") != 0))
            continue;
        struct str text = json_text(&a, value);
        buf_addf(out, "%s ", members[i]);
        buf_add_str(out, text);
        buf_add_char(out, '\n');
    }
    arena_release(&a);
    return out->len > before;
}
