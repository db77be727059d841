/* image_png.c - PNG by libpng. Palettes and few bits are widened, 16 bits cut to 8, gray is repeated, alpha dropped; no
 * colour is corrected. */
#include "ops/image.h"
#include "ops/image_sonames.h"

#include <png.h>
#include <string.h>

#define FUNCTIONS(X) \
    X(png_create_read_struct) X(png_create_info_struct) X(png_destroy_read_struct) X(png_set_longjmp_fn) \
    X(png_longjmp) X(png_set_user_limits) X(png_set_chunk_malloc_max) X(png_set_read_fn) X(png_get_io_ptr) \
    X(png_error) X(png_read_info) X(png_get_image_width) X(png_get_image_height) X(png_set_strip_16) \
    X(png_set_expand) X(png_set_gray_to_rgb) X(png_set_strip_alpha) X(png_set_interlace_handling) \
    X(png_read_update_info) X(png_get_rowbytes) X(png_read_image)
INGOT_LIBRARY(libpng, INGOT_SONAME_png);

/* What is left of the encoded bytes. The library's read callback: n bytes to `to`, or its error, which does not
 * return. */
static void take_bytes(png_structp png, png_bytep to, size_t n)
{
    ingot_encoded *left = libpng.png_get_io_ptr(png);

    if (left->size_bytes < n)
        libpng.png_error(png, "");
    memcpy(to, left->data, n);
    *left = (ingot_encoded){ left->data + n, left->size_bytes - n };
}

/* Nothing is printed: a malformed picture is one without pixels. The library's error handler, which must not return. */
static void give_up(png_structp png, png_const_charp message)
{
    (void)message;
    libpng.png_longjmp(png, 1);
}

/* Warnings do not matter: the library goes on. */
static void stay_silent(png_structp png, png_const_charp message) { (void)png, (void)message; }

/* Everything that may jump out; libpng.png_read_image() deals with interlacing. */
static ingot_status read_image(ingot_op_ctx *c, png_structp png, png_infop info, ingot_encoded encoded,
                               ingot_image *image)
{
    libpng.png_read_info(png, info);
    const ingot_status st = ingot_image_alloc(c, encoded, libpng.png_get_image_width(png, info),
                                              libpng.png_get_image_height(png, info), image);
    png_bytep *rows = st ? NULL : ingot_run_alloc(c, (size_t)image->height * sizeof *rows);
    if (!rows)
        return st ? st : ingot_op_out_of_memory(c);
    /* All kinds of pixels become 8-bit RGB, which the size of a row then confirms. */
    libpng.png_set_strip_16(png);
    libpng.png_set_expand(png);
    libpng.png_set_gray_to_rgb(png);
    libpng.png_set_strip_alpha(png);
    libpng.png_set_interlace_handling(png);
    libpng.png_read_update_info(png, info);
    if (libpng.png_get_rowbytes(png, info) != 3 * (size_t)image->width)
        return INGOT_BAD_INPUT;
    for (int64_t y = 0; y < image->height; y++)
        rows[y] = image->rgb + 3 * y * image->width;
    libpng.png_read_image(png, rows);
    return INGOT_OK;
}

/* The limits keep the library from taking memory by what a chunk promises: 2^20 pixels a side, 8 MiB for a chunk.
 * `info` and `png` are not changed after setjmp(), the status is volatile. */
ingot_status ingot_image_png(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    ingot_encoded left = encoded;
    volatile ingot_status st = ingot_open_library(c, &libpng_library);
    if (st)
        return st;
    st = INGOT_BAD_INPUT;
    png_structp png = libpng.png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, give_up, stay_silent);
    png_infop info = png ? libpng.png_create_info_struct(png) : NULL;

    if (!info)
        st = ingot_op_out_of_memory(c);
    else if (!setjmp(*libpng.png_set_longjmp_fn(png, longjmp, sizeof(jmp_buf)))) {
        libpng.png_set_user_limits(png, 1u << 20, 1u << 20);
        libpng.png_set_chunk_malloc_max(png, 1u << 23);
        libpng.png_set_read_fn(png, &left, take_bytes);
        st = read_image(c, png, info, encoded, image);
    }
    libpng.png_destroy_read_struct(&png, &info, NULL);
    return st;
}
