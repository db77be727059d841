/* cli.h - what the files of the command-line tool share. The tool is a client of ingot.h like any other.
 *
 * Results go to standard output; a message is one line on standard error that main() prints from the ingot_error a
 * command returns with. The exit code is the ingot_status. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "engine/ingot.h"

/* ---- options (options.c) ---------------------------------------------------------------------------------------- */

typedef enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_INT,    /* int64_t, from `least` to a thousand million */
    OPTION_BYTES,  /* uint64_t, with a suffix K, M or G */
    OPTION_NUMBER, /* double, finite and not negative */
    OPTION_TEXT,   /* const char * */
    OPTION_CHOICE, /* int: the place of the value among the words of `argument`, such as "auto|direct" */
    OPTION_LIST    /* cli_list: may be repeated */
} option_kind;

/* Texts in the order given, ended by NULL; they point into argv. */
typedef struct cli_list {
    const char **items;
    size_t n;
} cli_list;

/* One row of a command's option table; a row without a name ends it. */
typedef struct cli_option {
    const char *name; /* without the dashes; one of a single letter takes one dash */
    option_kind kind;
    void *value;          /* where the value goes; its type follows from kind */
    const char *argument; /* what help calls the value */
    const char *help;
    int64_t least;
} cli_option;

typedef struct cli_command {
    const char *name;
    const char *operands; /* one word for each, such as "MODEL DUMP"; all are needed, unless: */
    bool counts_operands; /* the command itself says which are missing */
    const char *summary;
    const char *examples;
    const cli_option *options;
    bool takes_pictures; /* cli_image_options() too */
    ingot_status (*run)(const char *const *operands, ingot_error *error);
} cli_command;

/* The commands, each in the file of its name. */
extern const cli_command command_run, command_verify, command_bench, command_inspect, command_optimize, command_profile,
    command_diff;

enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* What every command takes. */
typedef struct cli_common {
    int64_t n_threads;
    cli_list disabled_passes;
    uint64_t max_memory_bytes;
    int64_t max_nodes;
    double timeout_s;
    int conv_algorithm; /* ingot_conv_choice */
    int color;          /* COLOR_AUTO and so on */
    const char *external_data_root;
    bool no_mmap;
    bool portable, batch_invariant, strict, quiet, help;
} cli_common;

extern cli_common common;
const cli_option *cli_common_options(void);

/* The tables of a command's options: its own, those of pictures where it takes any, and the common ones. A row without
 * a name where there is no such table. */
enum { CLI_TABLES = 3 };
const cli_option *cli_option_table(const cli_command *command, int index);

/** Print the completions of a shell ("bash", "zsh", "fish") or the manual page ("manual") for the commands. */
ingot_status cli_describe(const char *form, const cli_command *const *commands, size_t n, ingot_error *error);

/**
 * Parse the arguments after the command's name into the places that the option tables name.
 * operands  receives the arguments that are no options, as many as command->operands has words; room for n of them.
 * Returns   INGOT_OK, or INGOT_USAGE with a line that says which argument is wrong and, where one is near, what was
 *           meant. --help ends the parsing: common.help is set and the operands may be missing.
 */
ingot_status cli_parse(const cli_command *command, int n, char **arguments, const char **operands, ingot_error *error);

/** Print usage, options and examples of a command: all of it comes from its tables. */
void cli_print_help(const cli_command *command);

/* The name of the `n` that is closest to `wrong`, or NULL when none is near. */
const char *cli_nearest(const char *wrong, const char *const *names, size_t n);

/** Split "NAME=N" of --dim; false when `text` is not of that form. */
bool cli_parse_dim(const char *text, size_t *name_size, int64_t *size);

/* ---- messages and text (text.c) --------------------------------------------------------------------------------- */

/**
 * Fill *error (NULL is allowed) with one printable line and return `status`, so that a caller can end with it. Whatever
 * the arguments hold, the line is bounded, has no control characters and is UTF-8. The second form puts the file's name
 * before it; of a long path the end.
 */
ingot_status cli_fail(ingot_error *error, ingot_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
ingot_status cli_fail_file(ingot_error *error, ingot_status status, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Copy text with control characters and what is not UTF-8 escaped as \xNN, ending in "..." where it does not fit. The
 * result is terminated. Returns out. */
char *cli_escape(char *out, size_t capacity, const char *text, size_t size_bytes);
bool cli_is_utf8(const char *text, size_t size_bytes);

/* Decode the code point at *at, which is moved behind it; -1 for what is not UTF-8. */
int32_t cli_next_code_point(const char **at, const char *end);

/* A name from a file, as it may be printed: escaped and shortened. The text is one of four that take turns, so that one
 * printf may have as many names; do not keep it. */
const char *cli_printable(const char *name);

/* "float [1,10]", "sequence of 3" and the like, of a value and of what the model declares. Return text. */
char *cli_type_text(const ingot_tensor *tensor, char *text, size_t capacity);
char *cli_info_text(const ingot_value_info *info, char *text, size_t capacity);

/* "4.2 M" with the given unit behind it. Returns text. */
char *cli_amount(double amount, const char *unit, char *text, size_t capacity);

/* The file with the folder it lies in, since many models are called model.onnx; a part of path. */
const char *cli_short_path(const char *path);

/* "[1,1,1,1]", "'linear'", "a graph": what an attribute holds; long lists are cut. Returns text. */
char *cli_attribute_text(const ingot_attribute_info *attribute, char *text, size_t capacity);

/* ---- terminals (terminal.c) ------------------------------------------------------------------------------------- */

/* The sequence that begins a colour, or ends all; "" where `out` is to have none: it is no terminal, NO_COLOR is set,
 * or --color says so. */
typedef enum cli_ink_kind { INK_END, INK_BOLD, INK_RED, INK_GREEN, INK_YELLOW, INK_FAINT } cli_ink_kind;
const char *cli_ink(FILE *out, cli_ink_kind kind);

/* True where progress may be shown: standard error is a terminal and --quiet is not given. */
bool cli_shows_progress(void);

/* Draw a bar on standard error, where progress may be shown, now and then; cli_progress_end() takes it away. It must be
 * gone before anything else is printed. */
void cli_progress(const char *what, size_t done, size_t total);
void cli_progress_end(void);

/* ---- values (value.c) ------------------------------------------------------------------------------------------- */

/* A value that the tool read or made. Memory is one block of ours, or ingot_tensor_decode()'s. */
typedef struct cli_value {
    ingot_tensor tensor;
    bool decoded;
} cli_value;

/**
 * Allocate zeroed memory for the type and shape in value->tensor, aligned as the engine's own.
 * extra_bytes  room behind the elements; string tensors keep their text there.
 * Returns      INGOT_OK, or INGOT_LIMIT where the size overflows, is past cli_limit_bytes() or not to be had.
 */
ingot_status cli_value_alloc(cli_value *value, size_t extra_bytes, ingot_error *error);
void cli_value_free(cli_value *value);

/* Bytes that one file or value may take: --max-memory, or 16 GiB. What a file claims is held against it before memory
 * is allocated. */
uint64_t cli_limit_bytes(void);

/* Element `index` as a double; the real part of complex ones, 0 for strings. */
double cli_element(const ingot_tensor *tensor, int64_t index);
void cli_print_element(FILE *out, const ingot_tensor *tensor, int64_t index);
bool cli_is_float(ingot_dtype dtype); /* complex excluded */

/* Print what the value holds: type, shape, range and first elements. */
void cli_print_value(FILE *out, const char *name, const ingot_tensor *tensor);

/* ---- files ------------------------------------------------------------------------------------------------------ */

/**
 * Read a whole file or pipe (file.c).
 * data     receives what is to be freed with free(); untouched on failure.
 * Returns  INGOT_OK, INGOT_IO, or INGOT_LIMIT for more than cli_limit_bytes().
 */
ingot_status cli_read_file(const char *path, uint8_t **data, size_t *size_bytes, ingot_error *error);

/** Read n bytes from `start` on. INGOT_IO where the file cannot be read or is shorter. */
ingot_status cli_read_range(const char *path, uint64_t start, size_t n, uint8_t *data, ingot_error *error);

/* Bytes to write; a file is written from several of them, one after the other. */
typedef struct cli_bytes {
    const void *data;
    size_t size_bytes;
} cli_bytes;
ingot_status cli_write_file(const char *path, const cli_bytes *parts, size_t n_parts, ingot_error *error);

/** Make a folder and those above it; one that is there already is fine. */
ingot_status cli_make_folder(const char *path, ingot_error *error);

/* Does the path end so? Upper and lower case are the same. */
bool cli_has_suffix(const char *path, const char *suffix);

/**
 * Decode a .npy file's bytes (npy.c): any byte order, either memory order, strings as well.
 * name     the file, for messages.
 * wanted   the type that the model declares, or INGOT_UNDEFINED. It tells what raw elements ("|V1", "<V2") stand for,
 *          and lets the 2- and 4-bit types be stored as int8 or uint8. The value may still come out as another type.
 * value    receives memory of its own.
 * Returns  INGOT_OK, INGOT_BAD_INPUT or INGOT_LIMIT.
 */
ingot_status cli_npy_decode(const char *name, const uint8_t *data, size_t size_bytes, ingot_dtype wanted,
                            cli_value *value, ingot_error *error);

/** Write a tensor as .npy (npy_write.c). INGOT_USAGE for a sequence or optional, which have no such form. */
ingot_status cli_npy_write(const char *path, const ingot_tensor *tensor, ingot_error *error);

/**
 * An open zip archive (archive.c). Members are known by their index. Reading one allocates no more than its compressed
 * size can account for; `data` is to be freed with free(). INGOT_UNSUPPORTED where the tool was built without libzip.
 */
typedef struct cli_archive cli_archive;
ingot_status cli_archive_open(const char *path, cli_archive **archive, ingot_error *error);
void cli_archive_close(cli_archive *archive);
const char *cli_archive_name(const cli_archive *archive, size_t index); /* NULL past the last */
int64_t cli_archive_find(const cli_archive *archive, const char *name); /* -1: no such member */
ingot_status cli_archive_read(cli_archive *archive, size_t index, uint8_t **data, size_t *size_bytes,
                              ingot_error *error);

/* One value in a file of several. */
typedef struct cli_entry {
    char *key;
    size_t index; /* of the archive's member that holds the elements */
    uint64_t start, size_bytes; /* of the elements in the file, where it is no archive */
    ingot_dtype dtype; /* this and the rest: of all but .npz, whose members say it themselves */
    int32_t rank;
    int64_t offset, shape[INGOT_MAX_RANK], strides[INGOT_MAX_RANK]; /* in elements */
} cli_entry;

/* An open .npz, .pt or .safetensors file (bundle.c). A lone tensor in a .pt file has the key "". */
typedef struct cli_bundle {
    const char *path;
    cli_archive *archive; /* NULL: elements lie in the file itself */
    cli_entry *entries;
    size_t n;
    bool is_npz;
    uint8_t *member;      /* the archive's member that was read last: tensors share storages */
    size_t member_index, member_bytes;
} cli_bundle;

/* By the name of the file. */
bool cli_is_bundle(const char *path);

/** List the values in a file; reading one gives it memory of its own. The path must outlive the bundle. */
ingot_status cli_bundle_open(const char *path, cli_bundle **bundle, ingot_error *error);
void cli_bundle_close(cli_bundle *bundle);

/* Index of the value with that key, or of number k of "input" or "output" in any of the forms in use; -1: none. */
int64_t cli_bundle_find(const cli_bundle *bundle, const char *key);
int64_t cli_bundle_find_numbered(const cli_bundle *bundle, const char *role, size_t k);
ingot_status cli_bundle_read(cli_bundle *bundle, size_t index, ingot_dtype wanted, cli_value *value,
                             ingot_error *error);

/** The parts of it that know torch.save's formats (pt.c, pt_legacy.c) and safetensors.c's. */
ingot_status cli_pt_list(cli_bundle *bundle, ingot_error *error);
ingot_status cli_pt_list_legacy(cli_bundle *bundle, ingot_error *error);
ingot_status cli_safetensors_list(cli_bundle *bundle, ingot_error *error);
ingot_status cli_pt_decode(const char *label, const uint8_t *data, size_t size_bytes, const cli_entry *entry,
                           cli_value *value, ingot_error *error);

/** Read and write .pb files (pb.c): TensorProto, SequenceProto or OptionalProto, which only `kind` tells apart. */
ingot_status cli_pb_read(const char *path, ingot_kind kind, cli_value *value, ingot_error *error);
ingot_status cli_pb_write(const char *path, const char *name, const ingot_tensor *tensor, ingot_error *error);

/* A decoded picture: rows of `channels` bytes a pixel. */
typedef struct cli_pixels {
    uint8_t *data;
    size_t width, height, channels;
} cli_pixels;

/** Decode PNG (png.c), JPEG (jpeg.c) and WebP (webp.c) from memory. pixels->data is to be freed with free(), on failure
 * too. */
ingot_status cli_png_decode(const char *path, const uint8_t *data, size_t size_bytes, cli_pixels *pixels,
                            ingot_error *error);
ingot_status cli_jpeg_decode(const char *path, const uint8_t *data, size_t size_bytes, cli_pixels *pixels,
                             ingot_error *error);

ingot_status cli_webp_decode(const char *path, const uint8_t *data, size_t size_bytes, cli_pixels *pixels,
                             ingot_error *error);

/** Scale a picture as Pillow does (image_resize.c); filter: the place of its name in --filter's. */
ingot_status cli_pixels_resize(const char *path, cli_pixels *pixels, size_t width, size_t height, int filter,
                               ingot_error *error);

/** Memory for a picture of a sensible size (image.c). */
ingot_status cli_pixels_alloc(const char *path, size_t width, size_t height, size_t channels, cli_pixels *pixels,
                              ingot_error *error);

/* By the name of the file; and by the type and rank of an input. */
bool cli_is_picture(const char *path);
bool cli_takes_pictures(const ingot_value_info *info);

/* The options that say how pictures become inputs (image.c), for the commands that take any. */
const cli_option *cli_image_options(void);

/** Are they well formed? INGOT_USAGE where not. To be called before anything is loaded. */
ingot_status cli_image_check(ingot_error *error);

/**
 * Read pictures as one model input, a batch: (N, C, H, W) or (N, H, W, C), float or uint8.
 * info     the input; its type, channels and size decide, and a picture that does not fit is INGOT_BAD_INPUT. NULL
 *          where nothing is known of it: float, three channels.
 */
ingot_status cli_images_read(const char *const *paths, size_t n, const ingot_value_info *info, cli_value *value,
                             ingot_error *error);

/* ---- model and session with the common options, and Ctrl-C (open_model.c) ---------------------------------------- */

/** From now on Ctrl-C cancels the run of the open session, or ends the process where there is none. */
void cli_catch_interrupts(void);

/** Load a model with --max-memory and --disable-pass; the second form leaves out all passes where it is told to. */
ingot_status cli_load(const char *path, bool allow_unsupported, ingot_model **model, ingot_error *error);
ingot_status cli_load_as(const char *path, bool allow_unsupported, bool with_passes, ingot_model **model,
                         ingot_error *error);

/** Open the session, with --threads, --max-memory and --timeout; one at a time. cli_close() accepts NULL. */
ingot_status cli_open(ingot_model *model, bool profile, ingot_session **session, ingot_error *error);
void cli_close(ingot_session *session);

/* A clock that only goes forward. */
double cli_now_ms(void);

/* The values bound to a session, kept alive until the runs are over. */
typedef struct cli_inputs {
    cli_value *values;
    size_t n;
} cli_inputs;

/* A model that is ready to run. */
typedef struct cli_setup {
    ingot_model *model;
    ingot_session *session;
    cli_inputs inputs;
    double load_ms; /* of the model and the session */
} cli_setup;

/** Load the model, open a session, and bind the files of --input and made-up values for the other inputs. What was
 * made so far is in `setup` even on failure, to be freed with cli_tear_down(). */
ingot_status cli_set_up(const char *path, const cli_list *files, const cli_list *dims, bool profile, cli_setup *setup,
                        ingot_error *error);
void cli_tear_down(cli_setup *setup);

/* ---- inputs and dumps ------------------------------------------------------------------------------------------- */

/* What to make up for inputs that are not given: values for running, or only shapes for planning. */
typedef enum missing_inputs { MISSING_RANDOM, MISSING_ZERO } missing_inputs;

/**
 * Bind the files of --input to the session, and make up the inputs that are not given (inputs.c).
 * files    "[NAME=]FILE" texts; without NAME an input in graph order.
 * dims     "NAME=N" texts of --dim.
 * inputs   receives what was bound, also on failure: to be freed with cli_inputs_free() after the last run.
 * Returns  INGOT_OK; INGOT_USAGE for a wrong --dim or an input given twice; INGOT_BAD_INPUT, INGOT_IO or INGOT_LIMIT
 *          for a file that does not fit, is malformed, unreadable or too large.
 */
ingot_status cli_bind_inputs(const ingot_model *model, ingot_session *session, const cli_list *files,
                             const cli_list *dims, missing_inputs missing, cli_inputs *inputs, ingot_error *error);
ingot_status cli_inputs_alloc(cli_inputs *inputs, size_t capacity, ingot_error *error);
void cli_inputs_free(cli_inputs *inputs);

/** Fill a tensor with values that depend on the seed alone (random.c). */
void cli_fill_random(ingot_tensor *tensor, uint64_t seed);

/** A dump: inputs and the outputs they led to, in a folder, an .npz or a .pt (dump.c). The path must outlive it. */
typedef struct cli_dump cli_dump;
ingot_status cli_dump_open(const char *path, cli_dump **dump, ingot_error *error);
void cli_dump_close(cli_dump *dump);

/**
 * Read "input" or "output" number k.
 * info     the model's input or output, for its name, kind and type; NULL: not known.
 * found    false where the dump does not have it, which is no error; `value` is untouched then.
 */
ingot_status cli_dump_read(cli_dump *dump, const char *role, size_t k, const ingot_value_info *info, bool *found,
                           cli_value *value, ingot_error *error);

/* How two values differ (compare_values.c). */
typedef struct cli_difference {
    double max_abs, max_rel;
    int64_t n, n_differ;  /* elements compared, and those that are out of tolerance */
    char first[300];      /* where and how they first differ; "" when they agree */
} cli_difference;

/** True when |got - want| <= atol + rtol * |want| everywhere, and types and shapes are equal. NaN equals NaN,
 * infinities equal themselves; integers, booleans and strings must be the same; sequences and optionals are compared
 * item by item. */
/** `inspect --support` (support.c): print the operators that run, as Markdown or JSON. */
ingot_status cli_print_support(bool json, ingot_error *error);

bool cli_compare(const ingot_tensor *got, const ingot_tensor *want, double rtol, double atol,
                 cli_difference *difference);

/* How far two values are apart (compare_errors.c). Relative errors leave out elements that should be 0; ULPs are those
 * of float32. */
typedef struct cli_errors {
    bool measured;        /* false: not tensors of as many numbers; nothing below holds then but max_abs, infinite */
    double max_abs, mean_abs, max_rel, mean_rel, max_ulps, cosine;
    double rms;           /* of what was wanted */
    int64_t n, n_differ;  /* elements, and those that are out of tolerance */
    int64_t n_special;    /* of these, where only one of the two is finite, or that are different infinities */
    int64_t worst;        /* element with the largest absolute error; -1: there is none */
} cli_errors;

/* Of tensors with as many elements, whatever their shapes and types; tolerances as cli_compare() has them. */
cli_errors cli_measure(const ingot_tensor *got, const ingot_tensor *want, double rtol, double atol);

/* A hash of bytes and of a value with its type and shape (hash.c): equal bits give equal hashes. It tells accidents,
 * not attackers. Hashes are chained: the result of one is the start of the next. */
#define CLI_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t cli_hash(const void *data, size_t size_bytes, uint64_t start);
uint64_t cli_hash_tensor(const ingot_tensor *tensor, uint64_t start);

/* ---- JSON (json.c) ---------------------------------------------------------------------------------------------- */

/**
 * JSON is built as a tree and printed as one line. An object made by cli_json_new() is to be printed or freed once;
 * what is put into it goes with it. Keys stay in the order they are added. INGOT_UNSUPPORTED from cli_json_new() where
 * the tool was built without json-c: ask for it before long work.
 */
typedef struct json_object cli_json;
ingot_status cli_json_new(cli_json **object, ingot_error *error);
void cli_json_text(cli_json *object, const char *key, const char *text);
void cli_json_text_or_null(cli_json *object, const char *key, const char *text); /* NULL becomes null */
void cli_json_int(cli_json *object, const char *key, int64_t value);
void cli_json_number(cli_json *object, const char *key, double value); /* six significant digits */
void cli_json_micros(cli_json *object, const char *key, uint64_t time_ns); /* to the nanosecond */
void cli_json_bool(cli_json *object, const char *key, bool value);
cli_json *cli_json_array(cli_json *object, const char *key);
cli_json *cli_json_object(cli_json *object, const char *key);
cli_json *cli_json_append(cli_json *array); /* a new object at the array's end */
void cli_json_append_text(cli_json *array, const char *text);
void cli_json_append_int(cli_json *array, int64_t value);
void cli_json_print(cli_json *object); /* one line, and free it */
ingot_status cli_json_write(cli_json *object, const char *path, ingot_error *error);
void cli_json_free(cli_json *object);

#endif
