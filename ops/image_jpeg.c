/* image_jpeg.c - JPEG by libjpeg-turbo with its defaults: the accurate integer transform, and chroma interpolated as
 * the specification of ImageDecoder describes. What the library only warns of makes the picture malformed. */
#include "ops/image.h"
#include "ops/image_sonames.h"

#include <stdio.h>               /* jpeglib.h needs it first */
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

#define FUNCTIONS(X) \
    X(jpeg_read_header) X(jpeg_start_decompress) X(jpeg_read_scanlines) X(jpeg_finish_decompress) \
    X(jpeg_std_error) X(jpeg_CreateDecompress) X(jpeg_mem_src) X(jpeg_destroy_decompress)
INGOT_LIBRARY(libjpeg, INGOT_SONAME_jpeg);

/* The library's error handler and where it jumps to; the manager comes first, so that one pointer serves for both. */
typedef struct jump {
    struct jpeg_error_mgr manager;
    jmp_buf out;
} jump;

/* The handler of errors must not return. */
static void give_up(j_common_ptr jpeg) { longjmp(((jump *)jpeg->err)->out, 1); }

/* Negative levels are warnings: data cut short or damaged. */
static void judge(j_common_ptr jpeg, int level)
{
    if (level < 0)
        give_up(jpeg);
}

/* Everything that may jump out. A progressive picture is kept as coefficients, which the size check has bounded. */
static ingot_status read_image(ingot_op_ctx *c, struct jpeg_decompress_struct *jpeg, ingot_encoded encoded,
                               ingot_image *image)
{
    libjpeg.jpeg_read_header(jpeg, TRUE);
    const ingot_status st = ingot_image_alloc(c, encoded, jpeg->image_width, jpeg->image_height, image);
    if (st)
        return st;
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK)
        return ingot_image_unsupported(c, "a JPEG of four inks");
    /* The library turns gray and YCbCr into RGB, and is told to keep within 512 MiB. */
    jpeg->out_color_space = JCS_RGB;
    jpeg->mem->max_memory_to_use = 512L << 20;
    libjpeg.jpeg_start_decompress(jpeg);
    uint8_t *row = image->rgb;
    for (int64_t y = 0; y < image->height; y++, row += 3 * image->width)
        if (libjpeg.jpeg_read_scanlines(jpeg, &row, 1) != 1)
            return INGOT_BAD_INPUT;
    libjpeg.jpeg_finish_decompress(jpeg);
    return INGOT_OK;
}

/* What changes between setjmp() and the jump and is read after it must be volatile: the status. The library's memory is
 * given back on either way. */
ingot_status ingot_image_jpeg(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    struct jpeg_decompress_struct jpeg;
    jump errors;
    volatile ingot_status st = ingot_open_library(c, &libjpeg_library);

    if (st)
        return st;
    st = INGOT_BAD_INPUT;
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = libjpeg.jpeg_std_error(&errors.manager);
    errors.manager.error_exit = give_up;
    errors.manager.emit_message = judge;
    if (!setjmp(errors.out)) {
        libjpeg.jpeg_CreateDecompress(&jpeg, JPEG_LIB_VERSION, sizeof jpeg);
        libjpeg.jpeg_mem_src(&jpeg, encoded.data, (unsigned long)encoded.size_bytes);
        st = read_image(c, &jpeg, encoded, image);
    }
    libjpeg.jpeg_destroy_decompress(&jpeg);
    return st;
}
