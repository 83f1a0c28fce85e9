/* usage: bench_decode FILE... [--type MIME] [--fps N] [--start S] [--end S] [--rate HZ] [--repeat N]
 *
 * Decodes media as the service does, in a sealed process, and prints a line of JSON for each file: pieces,
 * their sizes, times and digests, and the wall time. bench/media/run.py and tests/media use it. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "predict/media/decoder.h"
#include "predict/media/wire.h"

#define LINE_BYTES_MAX ((size_t)16 * 1024 * 1024)

static void add_piece(struct json_writer *w, const struct media_piece *p)
{
    char digest[24];

    (void)snprintf(digest, sizeof digest, "%016" PRIx64, (uint64_t)XXH3_64bits(p->data, p->bytes));
    json_object(w, NULL);
    json_add_text(w, "digest", str_of(digest));
    if (p->samples) {
        json_add_uint(w, "samples", p->samples);
    } else {
        json_add_uint(w, "width", p->width);
        json_add_uint(w, "height", p->height);
        json_add_uint(w, "time_us", (uint64_t)p->time_us);
        const unsigned char *middle =
            p->data + 3 * ((size_t)(p->height / 2) * p->width + p->width / 2);
        json_array(w, "first");
        for (int i = 0; i < 3; i++)
            json_add_uint(w, NULL, p->data[i]);
        json_end(w);
        json_array(w, "middle");
        for (int i = 0; i < 3; i++)
            json_add_uint(w, NULL, middle[i]);
        json_end(w);
    }
    json_end(w);
}

static void decode_one(struct media_decoder *d, const char *path, struct str type,
                       const struct media_ask *wanted)
{
    struct buf out = BUF_INIT(LINE_BYTES_MAX);
    struct json_writer w = { .out = &out };
    struct media_ask ask = *wanted;
    struct media_piece piece;
    struct error e = { 0 };
    uint64_t begun = clock_system()->mono_ns(clock_system());
    int file = open(path, O_RDONLY), rc;

    json_object(&w, NULL);
    json_array(&w, "pieces");
    rc = media_decoder_open(d, file, type, &ask, &e);
    if (rc == 0) {
        while ((rc = media_decoder_next(d, &piece, &e)) > 0)
            add_piece(&w, &piece);
        media_decoder_close(d);
    }
    json_end(&w);
    if (rc < 0)
        json_add_text(&w, "error", str_of(e.msg));
    json_add_uint(&w, "us", (clock_system()->mono_ns(clock_system()) - begun) / 1000);
    json_end(&w);
    printf("%.*s\n", (int)out.len, out.p);
    buf_release(&out);
    (void)close(file);
}

int main(int argc, char **argv)
{
    static const struct sandbox_role roles[] = { { MEDIA_ROLE, media_child_main } };
    struct media_ask ask = { .fps = 1,
                             .end_us = MEDIA_END_OF_FILE,
                             .sample_rate = 16000,
                             .frames_max = 10000,
                             .seconds_max = 3600 };
    struct str type = { 0 };
    long repeat = 1;

    sandbox_entry(argc, argv, roles, 1);
    struct media_decoder *d = media_decoder_new();
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--type") == 0)
            type = str_of(argv[++i]);
        else if (strcmp(argv[i], "--fps") == 0 && ++i)
            ask.fps = strtod(value, NULL);
        else if (strcmp(argv[i], "--start") == 0 && ++i)
            ask.start_us = (int64_t)(strtod(value, NULL) * 1e6);
        else if (strcmp(argv[i], "--end") == 0 && ++i)
            ask.end_us = (int64_t)(strtod(value, NULL) * 1e6);
        else if (strcmp(argv[i], "--resolution") == 0 && ++i)
            ask.resolution = (enum media_resolution)strtol(value, NULL, 10);
        else if (strcmp(argv[i], "--rate") == 0 && ++i)
            ask.sample_rate = (uint32_t)strtol(value, NULL, 10);
        else if (strcmp(argv[i], "--repeat") == 0 && ++i)
            repeat = strtol(value, NULL, 10);
        else
            for (long k = 0; k < repeat; k++)
                decode_one(d, argv[i], type, &ask);
    }
    media_decoder_free(d);
    return 0;
}
