#include "predict/media/ask.h"

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "format/request/fields.h"

#define US_PER_S INT64_C(1000000)
#define OFFSET_S_MAX UINT64_C(1000000) /* eleven days: no file is as long */

// clang-format off
static const struct {
    const char *name;
    enum media_resolution resolution;
} resolutions[] = {
    { "MEDIA_RESOLUTION_LOW",        MEDIA_RESOLUTION_LOW        },
    { "MEDIA_RESOLUTION_MEDIUM",     MEDIA_RESOLUTION_MEDIUM     },
    { "MEDIA_RESOLUTION_HIGH",       MEDIA_RESOLUTION_HIGH       },
    { "MEDIA_RESOLUTION_ULTRA_HIGH", MEDIA_RESOLUTION_ULTRA_HIGH },
};
/* Pixels of an image, and of a frame of a video. */
static const uint32_t pixels[][2] = {
    [MEDIA_RESOLUTION_DEFAULT]    = { 1792 * 1792, 896 * 896 },
    [MEDIA_RESOLUTION_LOW]        = {  448 * 448,  448 * 448 },
    [MEDIA_RESOLUTION_MEDIUM]     = {  896 * 896,  896 * 896 },
    [MEDIA_RESOLUTION_HIGH]       = { 1792 * 1792, 1792 * 1792 },
    [MEDIA_RESOLUTION_ULTRA_HIGH] = { 3584 * 3584, 1792 * 1792 },
};
// clang-format on

uint32_t media_ask_pixels(const struct media_ask *ask)
{
    return pixels[ask->resolution][ask->kind == MEDIA_KIND_VIDEO];
}

bool media_offset_read(struct str text, int64_t *out)
{
    uint64_t whole, part = 0, scale = US_PER_S;
    size_t dot = str_find(text, STR("."));

    if (!str_ends(text, STR("s")))
        return false;
    text.len--;
    struct str seconds = str_sub(text, 0, dot);
    if (!str_number_in(seconds, 0, OFFSET_S_MAX, &whole))
        return false;
    if (dot != SIZE_MAX) {
        struct str digits = str_sub(text, dot + 1, SIZE_MAX);
        if (!digits.len || digits.len > 9)
            return false;
        digits = str_cut(digits, 6); /* nanoseconds are cut off */
        if (!str_number(digits, &part))
            return false;
        for (size_t i = 0; i < digits.len; i++)
            scale /= 10;
    }
    *out = (int64_t)(whole * (uint64_t)US_PER_S + part * scale);
    return true;
}

/* An enum's value is its name in either case, or its number. */
static enum media_resolution resolution_of(yyjson_val *v)
{
    uint64_t number = yyjson_get_uint(v);

    for (size_t i = 0; i < ARRAY_LEN(resolutions); i++)
        if (lower_equal(json_str(v), resolutions[i].name) || number == resolutions[i].resolution)
            return resolutions[i].resolution;
    return MEDIA_RESOLUTION_DEFAULT;
}

/* The i-th of a list; a single value is a list of one. */
static yyjson_val *item_of(yyjson_val *list, uint32_t i)
{
    return yyjson_is_arr(list) ? yyjson_arr_get(list, i) : i == 0 ? list : NULL;
}

static double number_of(yyjson_val *v)
{
    return yyjson_is_num(v) ? yyjson_get_num(v) : 0;
}

bool media_ask_read(const struct request *r, uint32_t i, uint32_t k, struct media_ask *out,
                    struct violation *why)
{
    yyjson_val *content = item_of(request_field(r->root, "contents"), i);
    yyjson_val *part = item_of(request_field(content, "parts"), k);
    yyjson_val *video = request_field(part, "videoMetadata");
    yyjson_val *level = request_field(request_field(part, "mediaResolution"), "level");
    yyjson_val *whole =
        request_field(request_field(r->root, "generationConfig"), "mediaResolution");
    double fps = number_of(request_field(video, "fps"));

    out->resolution = resolution_of(level ? level : whole);
    out->fps = fps > 0 ? fps : MEDIA_FPS_DEFAULT;
    out->start_us = 0;
    out->end_us = MEDIA_END_OF_FILE;
    (void)media_offset_read(json_str(request_field(video, "startOffset")), &out->start_us);
    (void)media_offset_read(json_str(request_field(video, "endOffset")), &out->end_us);
    if (out->end_us > out->start_us)
        return true;
    *why = (struct violation){ 0 };
    (void)snprintf(why->path, sizeof why->path, "contents[%u].parts[%u].videoMetadata.endOffset", i,
                   k);
    (void)snprintf(why->message, sizeof why->message, "endOffset is not behind startOffset.");
    (void)snprintf(why->remedy, sizeof why->remedy, "Write an endOffset that is greater.");
    return false;
}
