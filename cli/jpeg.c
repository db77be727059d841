/* jpeg.c - JPEG pictures, by libjpeg-turbo: gray or RGB. Where the library would only warn (a file cut short, damaged
 * data), reading fails: a model must not see a half gray picture. */
#include "cli/cli.h"

#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <string.h>

/* libjpeg's error manager with what its callbacks need behind it: where to go on, and the message. */
typedef struct jpeg_errors {
    struct jpeg_error_mgr base;
    jmp_buf out;
    char message[JMSG_LENGTH_MAX];
} jpeg_errors;

/* libjpeg's own would end the process. */
static void on_exit_call(j_common_ptr jpeg)
{
    jpeg_errors *errors = (jpeg_errors *)jpeg->err;
    jpeg->err->format_message(jpeg, errors->message);
    longjmp(errors->out, 1);
}

/* Levels below 0 are warnings, the others traces. Stray bytes between segments are common and harmless. */
static void on_message(j_common_ptr jpeg, int level)
{
    if (level < 0 && jpeg->err->msg_code != JWRN_EXTRANEOUS_DATA)
        on_exit_call(jpeg);
}

/* Everything that may jump out. The pixels belong to the caller from the moment they are allocated. */
static ingot_status decode(struct jpeg_decompress_struct *jpeg, const char *path, cli_pixels *pixels,
                           ingot_error *error)
{
    jpeg_read_header(jpeg, TRUE);
    jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    /* a progressive picture is kept as coefficients, whatever few bytes the file has */
    jpeg->mem->max_memory_to_use = 256L << 20;
    jpeg_start_decompress(jpeg);
    const ingot_status st = cli_pixels_alloc(path, jpeg->output_width, jpeg->output_height,
                                             (size_t)jpeg->output_components, pixels, error);
    if (st)
        return st;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = pixels->data + jpeg->output_scanline * pixels->width * pixels->channels;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
    return INGOT_OK;
}

/* The setjmp() is here and what it jumps out of in decode(), so that no local variable of this function changes in
 * between but the volatile one. On INGOT_BAD_INPUT the message is libjpeg's. */
ingot_status cli_jpeg_decode(const char *path, const uint8_t *data, size_t size_bytes, cli_pixels *pixels,
                             ingot_error *error)
{
    struct jpeg_decompress_struct jpeg;
    jpeg_errors errors;
    volatile ingot_status st = INGOT_LIMIT;
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_exit_call;
    errors.base.emit_message = on_message;
    if (setjmp(errors.out)) {
        st = cli_fail_file(error, INGOT_BAD_INPUT, path, "malformed JPEG: %s", errors.message);
    } else {
        jpeg_create_decompress(&jpeg);
        jpeg_mem_src(&jpeg, data, (unsigned long)size_bytes);
        st = decode(&jpeg, path, pixels, error);
    }
    jpeg_destroy_decompress(&jpeg);
    return st;
}
