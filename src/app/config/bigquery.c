/* bigquery.c -- the section `bigquery`: its checks, and the tables that it describes. */
#include "app/config/config.h"

#include <string.h>

#include "base/env.h"
#include "store/tables/tables.h"

#define EMULATOR_VARIABLE "BIGQUERY_EMULATOR_HOST"

void config_bigquery_load(struct config *c)
{
    struct config_bigquery *b = &c->bigquery;
    struct credential_spec *spec = &b->credential;

    if ((b->token_env != NULL) + (spec->secret_file != NULL) + (spec->service_account != NULL) > 1)
        config_error(c, b, NULL, "one of token_env, token_file and service_account is enough");
    if (b->endpoint && strncmp(b->endpoint, "http://", 7) != 0 &&
        strncmp(b->endpoint, "https://", 8) != 0)
        config_error(c, b, "endpoint", "\"%s\" must begin with http:// or https://", b->endpoint);
    if (b->token_env)
        spec->secret = env_get(b->token_env);
    if (b->token_env && !spec->secret)
        config_error(c, b, "token_env", "the environment variable %s is not set", b->token_env);
}

/* "localhost:9050" of the emulator's variable gets a scheme. */
static const char *endpoint_of(const struct config_bigquery *b, const char *given, struct arena *a)
{
    const char *emulator = env_get(EMULATOR_VARIABLE);

    if (given || b->endpoint)
        return given ? given : b->endpoint;
    if (!emulator)
        return NULL;
    return arena_textf(a, "%s%s", strstr(emulator, "://") ? "" : "http://", emulator);
}

struct tables *config_bigquery_open(const struct config *c, const char *endpoint,
                                    const char *folder, struct clock *clock, struct error *e)
{
    const struct config_bigquery *b = &c->bigquery;
    struct arena a = { 0 };
    struct tables_bigquery settings = {
        .endpoint = endpoint_of(b, endpoint, &a),
        .dir = folder,
        .project = b->project,
        .location = b->location,
        .ca_file = b->ca_file,
        .retry_ms = b->retry_ms,
        .credential = b->credential,
    };
    const struct credential_spec *spec = &b->credential;
    bool plain = settings.endpoint && strncmp(settings.endpoint, "http://", 7) == 0;

    settings.credential.adc =
        !plain && !spec->secret && !spec->secret_file && !spec->service_account;
    struct tables *t = tables_bigquery_open(&settings, clock, e);
    arena_release(&a);
    return t;
}
