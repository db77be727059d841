/* image_png.c - PNG by libpng. Palettes and few bits are widened, 16 bits cut to 8, gray is repeated, alpha dropped; no
 * colour is corrected. */
#include "ops/image.h"

#include <png.h>
#include <string.h>

/* What is left of the encoded bytes. */
static void take_bytes(png_structp png, png_bytep to, size_t n)
{
    ingot_encoded *left = png_get_io_ptr(png);

    if (left->size_bytes < n)
        png_error(png, "");
    memcpy(to, left->data, n);
    *left = (ingot_encoded){ left->data + n, left->size_bytes - n };
}

/* Nothing is printed: a malformed picture is one without pixels. */
static void give_up(png_structp png, png_const_charp message)
{
    (void)message;
    png_longjmp(png, 1);
}

static void stay_silent(png_structp png, png_const_charp message) { (void)png, (void)message; }

/* Everything that may jump out; png_read_image() deals with interlacing. */
static ingot_status read_image(ingot_op_ctx *c, png_structp png, png_infop info, ingot_encoded encoded,
                               ingot_image *image)
{
    png_read_info(png, info);
    const ingot_status st = ingot_image_alloc(c, encoded, png_get_image_width(png, info),
                                              png_get_image_height(png, info), image);
    png_bytep *rows = st ? NULL : ingot_run_alloc(c, (size_t)image->height * sizeof *rows);
    if (!rows)
        return st ? st : ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    png_set_strip_16(png);
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != 3 * (size_t)image->width)
        return INGOT_BAD_INPUT;
    for (int64_t y = 0; y < image->height; y++)
        rows[y] = image->rgb + 3 * y * image->width;
    png_read_image(png, rows);
    return INGOT_OK;
}

ingot_status ingot_image_png(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    ingot_encoded left = encoded;
    volatile ingot_status st = INGOT_BAD_INPUT;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, give_up, stay_silent);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info)
        st = ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    else if (!setjmp(png_jmpbuf(png))) {
        png_set_user_limits(png, 1u << 20, 1u << 20);
        png_set_chunk_malloc_max(png, 1u << 23);
        png_set_read_fn(png, &left, take_bytes);
        st = read_image(c, png, info, encoded, image);
    }
    png_destroy_read_struct(&png, &info, NULL);
    return st;
}
