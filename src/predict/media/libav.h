/* libav.h -- ffmpeg's libraries, loaded when media are decoded.
 *
 * Why: they are the best kept decoders there are, and load a hundred other libraries; a program that decodes
 *      nothing must start without them. Only the child that decodes loads them, before it is sealed.
 *
 * Errors:  FAILED_PRECONDITION when a library is not installed.
 * Threads: libav_load once, before anything else.
 */
#ifndef TRANCHE_PREDICT_MEDIA_LIBAV_H
#define TRANCHE_PREDICT_MEDIA_LIBAV_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
#pragma GCC diagnostic pop

#include "base/error.h"

// clang-format off
#define LIBAV_FUNCTIONS(X)                                                                     \
    X(avutil, av_dict_free) X(avutil, av_dict_get) X(avutil, av_dict_set_int)                  \
    X(avutil, av_display_rotation_get) X(avutil, av_frame_alloc) X(avutil, av_frame_free)      \
    X(avutil, av_frame_move_ref) X(avutil, av_frame_unref) X(avutil, av_free)                  \
    X(avutil, av_log_set_level) X(avutil, av_malloc) X(avutil, av_rescale_q)                   \
    X(avutil, av_strerror) X(avutil, av_channel_layout_default)                                \
    X(avcodec, av_packet_alloc) X(avcodec, av_packet_free) X(avcodec, av_packet_unref)         \
    X(avcodec, avcodec_alloc_context3) X(avcodec, avcodec_find_decoder)                        \
    X(avcodec, avcodec_free_context) X(avcodec, avcodec_open2)                                 \
    X(avcodec, avcodec_parameters_to_context) X(avcodec, avcodec_receive_frame)                \
    X(avcodec, avcodec_send_packet)                                                            \
    X(avformat, av_find_best_stream) X(avformat, av_find_input_format)                         \
    X(avformat, av_read_frame) X(avformat, av_stream_get_side_data)                            \
    X(avformat, avformat_alloc_context) X(avformat, avformat_close_input)                      \
    X(avformat, avformat_find_stream_info) X(avformat, avformat_open_input)                    \
    X(avformat, avformat_seek_file) X(avformat, avio_alloc_context)                            \
    X(avformat, avio_context_free)                                                             \
    X(swscale, sws_freeContext) X(swscale, sws_getCoefficients) X(swscale, sws_getContext)     \
    X(swscale, sws_scale) X(swscale, sws_setColorspaceDetails)                                 \
    X(swresample, swr_alloc_set_opts2) X(swresample, swr_convert) X(swresample, swr_free)      \
    X(swresample, swr_get_out_samples) X(swresample, swr_init)
// clang-format on

// NOLINTNEXTLINE(bugprone-macro-parentheses): a name, not an expression
#define LIBAV_MEMBER(library, function) __typeof__(function) *function;
struct libav {
    LIBAV_FUNCTIONS(LIBAV_MEMBER)
};
#undef LIBAV_MEMBER

int libav_load(struct libav *out, struct error *e) FALLIBLE;

#endif
