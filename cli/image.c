/* image.c - pictures as model inputs: decoded, gray where asked for, scaled and cropped as torchvision does it to PIL
 * images, then divided by 255, less the mean, over the deviation, in float, rounded once where the input is of another
 * float type; or the bytes as they are for a uint8 input. Several pictures make a batch.
 *
 * A picture is scaled only when --resize or a preset says so: what the model sees is what was given. A gray one is
 * repeated for a model of three channels; transparency is dropped. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS_AUTO, CHANNELS_RGB, CHANNELS_BGR, CHANNELS_GRAY };
enum { LAYOUT_AUTO, LAYOUT_NCHW, LAYOUT_NHWC };

/* What the options write to. */
static struct {
    int preset, filter, channels, layout;
    const char *resize, *crop, *mean, *std;
    double white;
} given = {.white = 1};

static const cli_option options[] = {
    {"preset", OPTION_CHOICE, &given.preset, "none|imagenet",
     "imagenet: resize 256, crop 224, and torchvision's mean and deviation", 0},
    {"resize", OPTION_TEXT, &given.resize, "N|WxH", "scale pictures: the shorter side to N, or to W x H", 0},
    {"filter", OPTION_CHOICE, &given.filter, "bilinear|bicubic|lanczos",
     "for --resize; antialiased, the bits of Pillow", 0},
    {"crop", OPTION_TEXT, &given.crop, "N|WxH", "cut the middle out of pictures", 0},
    {"white", OPTION_NUMBER, &given.white, "V", "what white becomes: 1 (default), or 255", 0},
    {"mean", OPTION_TEXT, &given.mean, "V,V,V", "subtracted from each channel, in the order of the channels", 0},
    {"std", OPTION_TEXT, &given.std, "V,V,V", "what each channel is then divided by", 0},
    {"channels", OPTION_CHOICE, &given.channels, "auto|rgb|bgr|gray", "order of a picture's channels (auto: rgb)", 0},
    {"layout", OPTION_CHOICE, &given.layout, "auto|nchw|nhwc", "of the input; auto: where its channels are declared",
     0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

const cli_option *cli_image_options(void) { return options; }

/* ---- what is wanted --------------------------------------------------------------------------------------------- */

typedef struct size {
    size_t width, height; /* 0: not asked for; height 0: width is that of the shorter side */
} size;

/* The options, read. */
typedef struct settings {
    size resize, crop;
    bool has_normal;
    float mean[3], std[3];
} settings;

/* "256" or "320x240". */
static bool parse_size(const char *text, size *to)
{
    char end;
    unsigned width, height = 0;
    const int n = strchr(text, 'x') ? sscanf(text, "%6ux%6u%c", &width, &height, &end)
                                    : sscanf(text, "%6u%c", &width, &end);
    const bool good = text[strspn(text, "0123456789x")] == 0 && width > 0 &&
                      (strchr(text, 'x') ? n == 2 && height > 0 : n == 1);
    *to = (size){width, height};
    return good;
}

/* One number for all channels or three. */
static bool parse_channels(const char *text, float values[3])
{
    char *end;
    for (int c = 0; c < 3; c++) {
        values[c] = strtof(text, &end);
        if (end == text || !isfinite(values[c]))
            return false;
        if (!c && !*end) {
            values[1] = values[2] = values[0];
            return true;
        }
        if (*end != (c < 2 ? ',' : 0))
            return false;
        text = end + 1;
    }
    return true;
}

/* What is said explicitly goes before the preset. INGOT_USAGE for what makes no sense. */
static ingot_status read_settings(settings *s, ingot_error *error)
{
    const bool imagenet = given.preset == 1;
    const char *resize = given.resize ? given.resize : imagenet ? "256" : NULL;
    const char *crop = given.crop ? given.crop : imagenet ? "224" : NULL;
    const char *mean = given.mean ? given.mean : imagenet ? "0.485,0.456,0.406" : "0";
    const char *std = given.std ? given.std : imagenet ? "0.229,0.224,0.225" : "1";
    *s = (settings){.has_normal = given.mean || given.std || imagenet};
    if (resize && !parse_size(resize, &s->resize))
        return cli_fail(error, INGOT_USAGE, "--resize: '%.100s' is neither N nor WxH", resize);
    if (crop && !parse_size(crop, &s->crop))
        return cli_fail(error, INGOT_USAGE, "--crop: '%.100s' is neither N nor WxH", crop);
    if (!parse_channels(mean, s->mean))
        return cli_fail(error, INGOT_USAGE, "--mean: '%.100s' is neither a number nor three with commas", mean);
    if (!parse_channels(std, s->std) || s->std[0] == 0 || s->std[1] == 0 || s->std[2] == 0)
        return cli_fail(error, INGOT_USAGE, "--std: '%.100s' is neither a number nor three with commas, none 0", std);
    if (s->crop.width && !s->crop.height)
        s->crop.height = s->crop.width;
    return INGOT_OK;
}

ingot_status cli_image_check(ingot_error *error)
{
    settings s;
    return read_settings(&s, error);
}

/* ---- decoding and sizes ----------------------------------------------------------------------------------------- */

bool cli_is_picture(const char *path)
{
    return cli_has_suffix(path, ".png") || cli_has_suffix(path, ".jpg") || cli_has_suffix(path, ".jpeg") ||
           cli_has_suffix(path, ".webp");
}

/* Sizes come from the picture's header and are checked before memory is asked for; at most 1 GiB and the limit. */
ingot_status cli_pixels_alloc(const char *path, size_t width, size_t height, size_t channels, cli_pixels *pixels,
                              ingot_error *error)
{
    uint64_t size_bytes;
    if (!width || !height || width > 1U << 20 || height > 1U << 20)
        return cli_fail_file(error, INGOT_BAD_INPUT, path, "a picture of %zu x %zu pixels is not read", width, height);
    size_bytes = (uint64_t)width * height * channels;
    if (size_bytes > cli_limit_bytes() || size_bytes > UINT64_C(1) << 30 ||
        !(pixels->data = malloc((size_t)size_bytes)))
        return cli_fail_file(error, INGOT_LIMIT, path, "a picture of %zu x %zu pixels does not fit memory", width,
                             height);
    pixels->width = width;
    pixels->height = height;
    pixels->channels = channels;
    return INGOT_OK;
}

/* The first bytes tell the format, not the name. */
static ingot_status decode(const char *path, cli_pixels *pixels, ingot_error *error)
{
    uint8_t *data;
    size_t n;
    ingot_status st = cli_read_file(path, &data, &n, error);
    if (st)
        return st;
    if (n > 8 && data[0] == 0x89 && data[1] == 'P')
        st = cli_png_decode(path, data, n, pixels, error);
    else if (n > 3 && data[0] == 0xff && data[1] == 0xd8)
        st = cli_jpeg_decode(path, data, n, pixels, error);
    else if (n > 12 && !memcmp(data, "RIFF", 4) && !memcmp(data + 8, "WEBP", 4))
        st = cli_webp_decode(path, data, n, pixels, error);
    else
        st = cli_fail_file(error, INGOT_BAD_INPUT, path, "neither a PNG nor a JPEG nor a WebP picture");
    free(data);
    return st;
}

/* Luma of ITU-R 601 in 16-bit fixed point, as Pillow's mode "L". */
static void make_gray(cli_pixels *p)
{
    for (size_t i = 0; p->channels == 3 && i < p->width * p->height; i++) {
        const uint8_t *rgb = p->data + 3 * i;
        p->data[i] = (uint8_t)((rgb[0] * 19595U + rgb[1] * 38470U + rgb[2] * 7471U + 0x8000U) >> 16);
    }
    p->channels = 1;
}

/* The shorter side to N; the longer one in proportion, rounded down, as torchvision does. */
static ingot_status resize(const char *path, cli_pixels *p, size to, ingot_error *error)
{
    if (to.width && !to.height) {
        const size_t n = to.width;
        to = p->width <= p->height ? (size){n, n * p->height / p->width} : (size){n * p->width / p->height, n};
    }
    return to.width ? cli_pixels_resize(path, p, to.width, to.height, given.filter, error) : INGOT_OK;
}

/* The middle, its corner at half the rest, halves rounded to even, as torchvision does. */
static ingot_status crop(const char *path, cli_pixels *p, size to, ingot_error *error)
{
    if (!to.width)
        return INGOT_OK;
    if (to.width > p->width || to.height > p->height)
        return cli_fail_file(error, INGOT_BAD_INPUT, path, "a picture of %zu x %zu pixels has no middle of %zu x %zu",
                             p->width, p->height, to.width, to.height);
    const size_t left = (size_t)nearbyint((double)(p->width - to.width) / 2);
    const size_t top = (size_t)nearbyint((double)(p->height - to.height) / 2), c = p->channels;
    for (size_t y = 0; y < to.height; y++)
        memmove(p->data + y * to.width * c, p->data + ((y + top) * p->width + left) * c, to.width * c);
    p->width = to.width;
    p->height = to.height;
    return INGOT_OK;
}

/* ---- what the model takes --------------------------------------------------------------------------------------- */

bool cli_takes_pictures(const ingot_value_info *info)
{
    const bool fits = info->dtype == INGOT_FLOAT || info->dtype == INGOT_FLOAT16 || info->dtype == INGOT_BFLOAT16 ||
                      info->dtype == INGOT_DOUBLE || info->dtype == INGOT_UINT8;
    return info->kind == INGOT_TENSOR && fits && (info->rank < 0 || info->rank == 4);
}

/* How the input has its elements. */
typedef struct form {
    bool nhwc;
    ingot_dtype dtype;
    size_t channels;
} form;

/* Channels are where the input declares one or three of them; in front where that is open. */
static form form_of(const ingot_value_info *info)
{
    form f = {.dtype = INGOT_FLOAT, .channels = given.channels == CHANNELS_GRAY ? 1 : 3};
    if (!info)
        return f;
    const bool ranked = info->rank == 4;
    const bool front = ranked && (info->shape[1] == 1 || info->shape[1] == 3);
    const bool back = ranked && (info->shape[3] == 1 || info->shape[3] == 3);
    f.nhwc = given.layout == LAYOUT_NHWC || (given.layout == LAYOUT_AUTO && back && !front);
    f.dtype = info->dtype;
    return f;
}

/* Check the picture against the declared shape, and say how many channels the model wants. */
static ingot_status check_fit(const char *path, const ingot_value_info *info, const cli_pixels *p, form *f,
                              ingot_error *error)
{
    char type[300];
    if (!info || info->rank < 0)
        return INGOT_OK;
    const int64_t wanted = info->shape[f->nhwc ? 3 : 1];
    const int64_t height = info->shape[f->nhwc ? 1 : 2], width = info->shape[f->nhwc ? 2 : 3];
    /* a gray picture stays gray only for a model of one channel */
    if (wanted == 1 && p->channels == 1)
        f->channels = 1;
    if (wanted >= 0 && wanted != (int64_t)f->channels)
        return cli_fail_file(error, INGOT_BAD_INPUT, path,
                             "a picture of %zu channels does not fit input '%s', which is %s%s", p->channels,
                             cli_printable(info->name), cli_info_text(info, type, sizeof type),
                             wanted == 1 ? "; see --channels gray" : "; see --layout");
    if ((height < 0 || height == (int64_t)p->height) && (width < 0 || width == (int64_t)p->width))
        return INGOT_OK;
    return cli_fail_file(error, INGOT_BAD_INPUT, path,
                         "a picture of %zu x %zu pixels (width x height) does not fit input '%s', which is %s; see "
                         "--resize and --crop", p->width, p->height, cli_printable(info->name),
                         cli_info_text(info, type, sizeof type));
}

/* ---- elements --------------------------------------------------------------------------------------------------- */

/* To the nearest float16, halves to even: beyond the largest to infinity, below the normal ones in steps of 2^-24. */
static uint16_t to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x47800000)
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000)
        return (uint16_t)(sign | (uint32_t)nearbyintf(fabsf(value) * 0x1p24f));
    return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

static void put_element(void *to, size_t i, ingot_dtype dtype, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (dtype == INGOT_FLOAT)
        ((float *)to)[i] = value;
    else if (dtype == INGOT_DOUBLE)
        ((double *)to)[i] = (double)value;
    else if (dtype == INGOT_FLOAT16)
        ((uint16_t *)to)[i] = to_half(value);
    else
        ((uint16_t *)to)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* One picture into its place in the batch. The arithmetic is that of torchvision's ToTensor and Normalize in float. */
static void put_picture(const cli_pixels *p, form f, const settings *s, void *to)
{
    const size_t plane = p->width * p->height, n = plane * f.channels;
    for (size_t i = 0; i < n; i++) {
        const size_t c = f.nhwc ? i % f.channels : i / plane, pixel = f.nhwc ? i / f.channels : i % plane;
        const size_t from = p->channels == 1 ? 0 : given.channels == CHANNELS_BGR ? 2 - c : c;
        const uint8_t byte = p->data[pixel * p->channels + from];
        if (f.dtype == INGOT_UINT8)
            ((uint8_t *)to)[i] = byte;
        else if (given.white != 1)
            put_element(to, i, f.dtype, ((float)((double)byte * given.white / 255) - s->mean[c]) / s->std[c]);
        else
            put_element(to, i, f.dtype, ((float)byte / 255.0f - s->mean[c]) / s->std[c]);
    }
}

/* Memory for the batch, once its first picture is known. */
static ingot_status make_batch(const cli_pixels *p, form f, size_t n, cli_value *value, ingot_error *error)
{
    const int64_t c = (int64_t)f.channels, h = (int64_t)p->height, w = (int64_t)p->width;
    value->tensor = (ingot_tensor){.dtype = f.dtype, .rank = 4,
                                   .shape = {(int64_t)n, f.nhwc ? h : c, f.nhwc ? w : h, f.nhwc ? c : w}};
    return cli_value_alloc(value, 0, error);
}

/* Does the picture have the size and channels of those before it? */
static bool is_alike(const cli_value *value, const cli_pixels *p, form f)
{
    const int64_t *shape = value->tensor.shape;
    return shape[f.nhwc ? 1 : 2] == (int64_t)p->height && shape[f.nhwc ? 2 : 3] == (int64_t)p->width &&
           shape[f.nhwc ? 3 : 1] == (int64_t)f.channels;
}

/* The i-th of n pictures: read, made to fit, and put into the batch, which the first one makes. */
static ingot_status add_picture(const char *path, size_t i, size_t n, const ingot_value_info *info, const settings *s,
                                cli_value *value, ingot_error *error)
{
    cli_pixels p = {.data = NULL};
    form f = form_of(info);
    ingot_status st = decode(path, &p, error);
    if (!st && given.channels == CHANNELS_GRAY)
        make_gray(&p);
    if (!st && !(st = resize(path, &p, s->resize, error)) && !(st = crop(path, &p, s->crop, error)))
        st = check_fit(path, info, &p, &f, error);
    if (!st && !i)
        st = make_batch(&p, f, n, value, error);
    else if (!st && !is_alike(value, &p, f))
        st = cli_fail_file(error, INGOT_BAD_INPUT, path, "a picture of %zu x %zu pixels is not as large as the others "
                           "of the batch; see --resize and --crop", p.width, p.height);
    const size_t size_bytes = p.width * p.height * f.channels * ingot_dtype_size_bytes(f.dtype);
    if (!st)
        put_picture(&p, f, s, (char *)value->tensor.data + i * size_bytes);
    free(p.data);
    return st;
}

/* What the input's type has to do with pictures at all is looked at before any is read. */
ingot_status cli_images_read(const char *const *paths, size_t n, const ingot_value_info *info, cli_value *value,
                             ingot_error *error)
{
    char type[300];
    settings s;
    ingot_status st = read_settings(&s, error);
    if (!st && info && !cli_takes_pictures(info))
        st = cli_fail_file(error, INGOT_BAD_INPUT, paths[0], "a picture does not fit input '%s', which is %s",
                           cli_printable(info->name), cli_info_text(info, type, sizeof type));
    if (!st && info && info->dtype == INGOT_UINT8 && (s.has_normal || given.white != 1))
        st = cli_fail(error, INGOT_USAGE, "--mean, --std and --white are for float inputs; '%s' takes bytes",
                      cli_printable(info->name));
    if (!st && info && info->rank == 4 && info->shape[0] >= 0 && info->shape[0] != (int64_t)n)
        st = cli_fail_file(error, INGOT_BAD_INPUT, paths[0], "%zu picture%s for input '%s', which is %s", n,
                           n == 1 ? "" : "s", cli_printable(info->name), cli_info_text(info, type, sizeof type));
    for (size_t i = 0; i < n && !st; i++)
        st = add_picture(paths[i], i, n, info, &s, value, error);
    return st;
}
