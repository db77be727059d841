/* test_session.c - the public functions' rules on lifetimes. Takes the path of MyNet.onnx. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/ingot.h"

static const char *model_path;

/* A host may free a model before its sessions, in whatever order its garbage goes: two sessions still take an input
 * and run after it, and the last one that is freed takes the weights along, which the sanitizers watch. */
static void test_sessions_outlive_the_model(void **state)
{
    static float pixels[3 * 32 * 32];
    const ingot_tensor x = {.dtype = INGOT_FLOAT, .rank = 4, .shape = {1, 3, 32, 32}, .data = pixels};
    ingot_error error;
    ingot_model *model;
    ingot_session *sessions[2];
    (void)state;
    assert_int_equal(ingot_model_load(model_path, NULL, &model, &error), INGOT_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ingot_session_create(model, NULL, &sessions[i], &error), INGOT_OK);
    ingot_model_free(model);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ingot_session_set_input(sessions[i], NULL, &x, &error), INGOT_OK);
        assert_int_equal(ingot_session_run(sessions[i], &error), INGOT_OK);
        assert_int_equal(ingot_session_output(sessions[i], 0)->shape[1], 10);
        ingot_session_free(sessions[i]);
    }
}

/* An output that is bound is written where the caller wants it and no byte beyond, whatever its alignment; one that
 * does not fit is refused before the run, and memory that is the input's too is written only after the run. */
static void test_outputs_are_the_callers(void **state)
{
    static float pixels[3 * 32 * 32];
    float room[2 + 10 + 2] = {7, 7}, *const at = room + 1, want[10];
    const ingot_tensor x = {.dtype = INGOT_FLOAT, .rank = 4, .shape = {1, 3, 32, 32}, .data = pixels};
    ingot_tensor y = {.dtype = INGOT_FLOAT, .rank = 2, .shape = {1, 10}, .data = at};
    ingot_error error;
    ingot_model *model;
    ingot_session *session;
    (void)state;
    for (int i = 0; i < 3 * 32 * 32; i++)
        pixels[i] = (float)(i % 17) / 8;
    assert_int_equal(ingot_model_load(model_path, NULL, &model, &error), INGOT_OK);
    assert_int_equal(ingot_session_create(model, NULL, &session, &error), INGOT_OK);
    const char *name = ingot_model_output(model, 0)->name;
    assert_int_equal(ingot_session_set_output(session, "nothing", &y, &error), INGOT_BAD_INPUT);
    assert_int_equal(ingot_session_set_input(session, NULL, &x, &error), INGOT_OK);
    assert_int_equal(ingot_session_run(session, &error), INGOT_OK);
    const void *own = ingot_session_output(session, 0)->data;
    memcpy(want, own, sizeof want);
    room[11] = room[12] = 7;
    assert_int_equal(ingot_session_set_output(session, name, &y, &error), INGOT_OK);
    assert_int_equal(ingot_session_run(session, &error), INGOT_OK);
    assert_ptr_equal(ingot_session_output(session, 0)->data, at);
    assert_memory_equal(at, want, sizeof want);
    assert_true(room[0] == 7 && room[11] == 7 && room[12] == 7);
    y.shape[1] = 11;
    assert_int_equal(ingot_session_set_output(session, name, &y, &error), INGOT_OK);
    assert_int_equal(ingot_session_run(session, &error), INGOT_BAD_INPUT);
    assert_non_null(strstr(error.message, "[1,10]"));
    y.shape[1] = 10;
    y.data = pixels;
    assert_int_equal(ingot_session_set_output(session, name, &y, &error), INGOT_OK);
    assert_int_equal(ingot_session_run(session, &error), INGOT_OK);
    assert_memory_equal(pixels, want, sizeof want);
    assert_int_equal(ingot_session_set_output(session, name, NULL, &error), INGOT_OK);
    assert_int_equal(ingot_session_run(session, &error), INGOT_OK);
    assert_ptr_equal(ingot_session_output(session, 0)->data, own);
    ingot_session_free(session);
    ingot_model_free(model);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sessions_outlive_the_model),
                                       cmocka_unit_test(test_outputs_are_the_callers)};
    model_path = argc > 1 ? argv[1] : "models/MyNet.onnx";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
