#include "predict/media/limits.h"

#include <stdio.h>

#include "base/mem.h"
#include "predict/media/sniff.h"

#define MIB ((uint64_t)1024 * 1024)

// clang-format off
static const struct media_limits limits[] = {
    /* pattern      images videos sounds  inline   file      video  sound */
    { "gemini-2.0*",  3000,   10,     1,  7 * MIB, 30 * MIB, 3600, 30240 },
    { "gemini-2.5*",  3000,   10,     1,  7 * MIB, 30 * MIB, 3600, 30240 },
    { "gemini-3*",    3000,   10,     1,  7 * MIB, 30 * MIB, 3600, 30240 },
    { "*",            3000,   10,     1,  7 * MIB, 30 * MIB, 3600, 30240 },
};
// clang-format on

const struct media_limits *media_limits_of(const char *model)
{
    size_t i = 0;

    while (!str_glob(limits[i].pattern, model))
        i++;
    return &limits[i];
}

static bool refuse(struct violation *why, const char *path, uint32_t most, enum media_kind kind)
{
    *why = (struct violation){ 0 };
    (void)snprintf(why->path, sizeof why->path, "%s", path);
    (void)snprintf(why->message, sizeof why->message,
                   "There are more than %u %ss: the model takes no more in one request.", most,
                   media_kind_name(kind));
    (void)snprintf(why->remedy, sizeof why->remedy, "Split the request into several lines.");
    return false;
}

bool media_limits_accept(const struct media_limits *l, const struct request *r,
                         struct violation *why)
{
    const uint32_t most[] = { l->images, l->videos, l->sounds };
    uint32_t count[ARRAY_LEN(most)] = { 0 };
    char path[VIOLATION_PATH_BYTES];

    for (uint32_t i = 0; r->has_media && i < r->content_count; i++)
        for (uint32_t k = 0; k < r->content[i].part_count; k++) {
            const struct part *p = &r->content[i].part[k];
            enum media_kind kind;
            if ((p->kind != PART_INLINE_DATA && p->kind != PART_FILE_DATA) ||
                !media_kind_of_type(p->mime, &kind) || ++count[kind] <= most[kind])
                continue;
            (void)snprintf(path, sizeof path, "contents[%u].parts[%u]", i, k);
            return refuse(why, path, most[kind], kind);
        }
    return true;
}
