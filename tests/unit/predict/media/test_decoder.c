/* The process that decodes media: what it gives, and that it may die. */
#define _GNU_SOURCE /* memfd_create */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "predict/media/decoder.h"
#include "predict/media/wire.h"

/* Two pixels: red, blue. */
static const unsigned char gif[] = { 'G', 'I', 'F', '8', '9', 'a', 2,   0,    1,    0, 0x80, 0,
                                     0,   255, 0,   0,   0,   0,   255, ',',  0,    0, 0,    0,
                                     2,   0,   1,   0,   0,   2,   2,   0x44, 0x0A, 0, ';' };
#define WAV_SAMPLES 1600

static int file_of(const void *bytes, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    return fd;
}

static int wav_file(void)
{
    static const unsigned char head[] = { 'R', 'I', 'F',  'F', 0xA4, 0x0C, 0,    0,    'W',
                                          'A', 'V', 'E',  'f', 'm',  't',  ' ',  16,   0,
                                          0,   0,   1,    0,   1,    0,    0x80, 0x3E, 0,
                                          0,   0,   0x7D, 0,   0,    2,    0,    16,   0,
                                          'd', 'a', 't',  'a', 0x80, 0x0C, 0,    0 };
    static unsigned char all[sizeof head + 2 * WAV_SAMPLES];

    memcpy(all, head, sizeof head);
    return file_of(all, sizeof all);
}

static struct media_ask usual(void)
{
    return (struct media_ask){ .fps = 1,
                               .end_us = MEDIA_END_OF_FILE,
                               .sample_rate = 16000,
                               .frames_max = 10,
                               .seconds_max = 60 };
}

/* Decodes a file that has one piece: what next gave last, and the piece's bytes in *out. */
static int decode(struct media_decoder *d, int fd, const char *type, struct media_piece *out,
                  struct error *e)
{
    struct media_ask ask = usual();
    struct media_piece more;
    int rc = media_decoder_open(d, fd, str_of(type), &ask, e);

    *out = (struct media_piece){ 0 };
    if (rc == 0) {
        rc = media_decoder_next(d, out, e);
        if (rc == 1)
            assert_int_equal(media_decoder_next(d, &more, e), 0);
        media_decoder_close(d);
    }
    (void)close(fd);
    return rc;
}

static void test_pixels_and_samples_come_out_of_the_process(void **state)
{
    struct media_decoder *d = media_decoder_new();
    struct media_piece p;
    struct error e = { 0 };

    (void)state;
    assert_int_equal(decode(d, file_of(gif, sizeof gif), "image/gif", &p, &e), 1);
    assert_int_equal(p.width, 2);
    assert_int_equal(p.height, 1);
    assert_memory_equal(p.data, "\xff\0\0\0\0\xff", 6);
    assert_int_equal(decode(d, wav_file(), "audio/wav", &p, &e), 1);
    assert_int_equal(p.samples, WAV_SAMPLES);
    media_decoder_free(d);
}

static void test_a_file_that_fails_leaves_the_next_one_alone(void **state)
{
    static const struct {
        const char *bytes, *type, *message;
        size_t len;
    } bad[] = {
        { "GIF89a\xff\xff\xff\xff", "image/gif", "65535 x 65535 pixels", 10 },
        { "GIF89a\2\0\1\0", "image/gif", "damaged", 10 },
        { "#EXTM3U\nfile:///etc/passwd\n", "video/mp4", "not an image", 27 },
        { "\0\0\0\x18"
          "ftypheic",
          "image/heic", "Convert", 12 },
        { "RIFF\0\0\0\0WAVE", "image/png", "is WAV, and not image/png", 12 },
        { "", "image/png", "empty", 0 },
    };
    struct media_decoder *d = media_decoder_new();
    struct media_piece p;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error e = { 0 };
        assert_int_equal(decode(d, file_of(bad[i].bytes, bad[i].len), bad[i].type, &p, &e), -1);
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(e.msg, bad[i].message));
        assert_int_equal(decode(d, file_of(gif, sizeof gif), "", &p, &e), 1);
    }
    media_decoder_free(d);
}

static void test_a_file_that_nobody_reads_to_its_end_is_dropped(void **state)
{
    struct media_decoder *d = media_decoder_new();
    struct media_ask ask = usual();
    struct media_piece p;
    struct error e = { 0 };
    int fd = wav_file();

    (void)state;
    assert_int_equal(media_decoder_open(d, fd, STR("audio/wav"), &ask, &e), 0);
    media_decoder_close(d);
    (void)close(fd);
    assert_int_equal(decode(d, file_of(gif, sizeof gif), "image/*", &p, &e), 1);
    media_decoder_free(d);
}

int main(int argc, char **argv)
{
    static const struct sandbox_role roles[] = { { MEDIA_ROLE, media_child_main } };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_and_samples_come_out_of_the_process),
        cmocka_unit_test(test_a_file_that_fails_leaves_the_next_one_alone),
        cmocka_unit_test(test_a_file_that_nobody_reads_to_its_end_is_dropped),
    };

    sandbox_entry(argc, argv, roles, ARRAY_LEN(roles));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
