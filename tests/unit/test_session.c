/* test_session.c - the public functions' rules on lifetimes. Takes the path of MyNet.onnx. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sessions_outlive_the_model)};
    model_path = argc > 1 ? argv[1] : "models/MyNet.onnx";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
