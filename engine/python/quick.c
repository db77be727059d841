/* quick.c - one call into C for the usual run of a session: NumPy arrays in, NumPy arrays out.
 *
 * The package reaches the library through cffi, a call at a time, which costs more than a small model computes. A
 * Runner does what InferenceSession.run() does for plain arrays, and answers None to whatever else it is given,
 * without having run anything: the caller then goes the general way, which also words the errors. It links nothing of
 * the library; its functions come as addresses, so that there is one copy of it in the process. Arrays are read
 * through __array_struct__, NumPy's interface for C that needs none of its headers. Stable ABI of CPython 3.9. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "engine/ingot.h"

enum { CONTIGUOUS = 0x1, ALIGNED = 0x100, NATIVE = 0x200, MOST_INPUTS = 16, MOST_OUTPUTS = 16 };

/* From so many elements on an output is computed in its array's own memory; below it, a copy costs less. */
enum { LEND_FROM = 1 << 14 };

/* NumPy's PyArrayInterface, as its documentation lays it out. */
typedef struct array_interface {
    int two, nd;
    char typekind;
    int itemsize, flags;
    Py_ssize_t *shape, *strides;
    void *data;
} array_interface;

typedef ingot_status set_input_fn(ingot_session *, const char *, const ingot_tensor *, ingot_error *);
typedef ingot_status run_fn(ingot_session *, ingot_error *);
typedef const ingot_tensor *output_fn(const ingot_session *, size_t);
typedef bool value_type_fn(const ingot_session *, const char *, ingot_tensor *);

typedef struct runner {
    PyObject_HEAD
    set_input_fn *set_input;
    set_input_fn *set_output;
    run_fn *plan, *run;
    output_fn *output;
    value_type_fn *value_type;
    ingot_session *session;
    PyObject *owner;           /* keeps the session */
    PyObject *inputs;          /* tuple of (name, name as bytes, element type) */
    PyObject *outputs;         /* tuple of (name, name as bytes) */
    PyObject *dtypes;          /* tuple: NumPy's type for each of the library's, or None */
    PyObject *array, *empty;   /* numpy.ndarray, numpy.empty */
    PyObject *fail;            /* raises: fail(status, message) */
    bool large;                /* outputs may be worth lending */
    bool busy;                 /* a thread is in a run; guarded by Python's lock */
} runner;

/* What an array was lent as. The capsule owns the shape, the array the elements. */
typedef struct lent {
    PyObject *array, *capsule;
} lent;

static ingot_dtype dtype_of(const array_interface *a)
{
    static const struct { char kind; int size; ingot_dtype dtype; } known[] = {
        { 'f', 4, INGOT_FLOAT }, { 'i', 8, INGOT_INT64 }, { 'f', 8, INGOT_DOUBLE }, { 'f', 2, INGOT_FLOAT16 },
        { 'i', 4, INGOT_INT32 }, { 'i', 2, INGOT_INT16 }, { 'i', 1, INGOT_INT8 }, { 'u', 1, INGOT_UINT8 },
        { 'u', 2, INGOT_UINT16 }, { 'u', 4, INGOT_UINT32 }, { 'u', 8, INGOT_UINT64 }, { 'b', 1, INGOT_BOOL },
        { 'c', 8, INGOT_COMPLEX64 }, { 'c', 16, INGOT_COMPLEX128 },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (a->typekind == known[i].kind && a->itemsize == known[i].size)
            return known[i].dtype;
    return INGOT_UNDEFINED;
}

/* The interface of a plain array: rows one after the other, in this machine's byte order. NULL, without an exception,
 * for anything else. `held` keeps what it points to, and the array. */
static const array_interface *borrow(const runner *r, PyObject *value, lent *held)
{
    const int plain = CONTIGUOUS | ALIGNED | NATIVE;

    if ((PyObject *)Py_TYPE(value) != r->array)
        return NULL;
    PyObject *capsule = PyObject_GetAttrString(value, "__array_struct__");
    const array_interface *a = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
    if (!a || a->two != 2 || (a->flags & plain) != plain || a->nd > INGOT_MAX_RANK) {
        Py_XDECREF(capsule);
        PyErr_Clear();
        return NULL;
    }
    Py_INCREF(value);
    *held = (lent){ value, capsule };
    return a;
}

static void give_back(lent *held, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_DECREF(held[i].capsule);
        Py_DECREF(held[i].array);
    }
}

/* Bind the arrays of `feed` to all inputs; how many are held, or -1 where one is not for this way. */
static Py_ssize_t bind(const runner *r, PyObject *feed, lent *held)
{
    const Py_ssize_t n = PyTuple_Size(r->inputs);
    Py_ssize_t i = 0;

    if (!PyDict_CheckExact(feed) || PyDict_Size(feed) != n)
        return -1;
    for (; i < n; i++) {
        PyObject *row = PyTuple_GetItem(r->inputs, i);
        PyObject *value = PyDict_GetItemWithError(feed, PyTuple_GetItem(row, 0));
        const array_interface *a = value ? borrow(r, value, &held[i]) : NULL;
        if (!a)
            break;
        ingot_tensor tensor = { .dtype = dtype_of(a), .kind = INGOT_TENSOR, .rank = a->nd, .data = a->data };
        bool fits = (long)tensor.dtype == PyLong_AsLong(PyTuple_GetItem(row, 2));
        for (int axis = 0; axis < a->nd; axis++) {
            tensor.shape[axis] = a->shape[axis];
            fits &= a->shape[axis] > 0;
        }
        if (!fits || r->set_input(r->session, PyBytes_AsString(PyTuple_GetItem(row, 1)), &tensor, NULL)) {
            i++;
            break;
        }
        if (i == n - 1)
            return n;
    }
    give_back(held, i);
    return n ? -1 : 0;
}

/* NumPy's type for an element type; NULL, without an exception, where it has none. */
static PyObject *dtype_for(const runner *r, ingot_dtype dtype)
{
    PyObject *found = PyTuple_GetItem(r->dtypes, (Py_ssize_t)dtype);

    PyErr_Clear();
    return found == Py_None ? NULL : found;
}

/* A new array of the tensor's type and shape, and where its elements are and how many bytes. */
static PyObject *new_array(const runner *r, const ingot_tensor *t, void **data, size_t *size_bytes)
{
    PyObject *shape = PyTuple_New(t->rank);
    for (int axis = 0; shape && axis < t->rank; axis++)
        PyTuple_SetItem(shape, axis, PyLong_FromLongLong(t->shape[axis]));
    PyObject *array = shape ? PyObject_CallFunctionObjArgs(r->empty, shape, dtype_for(r, t->dtype), NULL) : NULL;
    lent held;
    const array_interface *a = array ? borrow(r, array, &held) : NULL;
    Py_XDECREF(shape);
    if (!a) {
        if (array)
            PyErr_SetString(PyExc_SystemError, "numpy.empty gave no plain array");
        Py_XDECREF(array);
        return NULL;
    }
    *data = a->data;
    *size_bytes = (size_t)a->itemsize;
    for (int axis = 0; axis < t->rank; axis++)
        *size_bytes *= (size_t)t->shape[axis];
    give_back(&held, 1);
    return array;
}

static bool is_large(const ingot_tensor *t)
{
    int64_t count = 1;

    for (int axis = 0; axis < t->rank; axis++)
        count *= t->shape[axis];
    return count >= LEND_FROM;
}

/* An array of its own with an output's elements; Py_None where NumPy has no such type. */
static PyObject *fetch(runner *r, Py_ssize_t index)
{
    const ingot_tensor *t = r->output(r->session, (size_t)index);
    void *data;
    size_t size_bytes;

    if (!t || t->kind != INGOT_TENSOR || !dtype_for(r, t->dtype))
        Py_RETURN_NONE;
    PyObject *array = new_array(r, t, &data, &size_bytes);
    if (array && size_bytes)
        memcpy(data, t->data, size_bytes);
    r->large |= is_large(t);
    return array;
}

static const char *output_name(const runner *r, Py_ssize_t index)
{
    return PyBytes_AsString(PyTuple_GetItem(PyTuple_GetItem(r->outputs, index), 1));
}

/* Let the run write large outputs to the arrays that are returned: one for each output, NULL where it is fetched. What
 * goes wrong here goes wrong in the run, which tells. */
static void lend(runner *r, PyObject **arrays)
{
    const Py_ssize_t n = PyTuple_Size(r->outputs);
    ingot_tensor t;
    size_t size_bytes;

    if (!r->large || !r->plan || n > MOST_OUTPUTS)
        return;
    PyThreadState *state = PyEval_SaveThread();
    const ingot_status status = r->plan(r->session, NULL);
    PyEval_RestoreThread(state);
    r->large = false;
    for (Py_ssize_t i = 0; i < n && !status; i++) {
        const bool known = r->value_type(r->session, output_name(r, i), &t) && t.kind == INGOT_TENSOR && t.rank >= 0;
        if (!known || !is_large(&t) || !dtype_for(r, t.dtype))
            continue;
        r->large = true;
        arrays[i] = new_array(r, &t, &t.data, &size_bytes);
        if (arrays[i] && r->set_output(r->session, output_name(r, i), &t, NULL)) {
            Py_DECREF(arrays[i]);
            arrays[i] = NULL;
        }
        PyErr_Clear();
    }
}

/* The arrays are the caller's from here on: no run writes to them any more. */
static void take_back(const runner *r, PyObject **arrays)
{
    for (Py_ssize_t i = 0; i < MOST_OUTPUTS; i++)
        if (arrays[i])
            r->set_output(r->session, output_name(r, i), NULL, NULL);
}

/* Position of an output's name; -1: the model has none of it. */
static Py_ssize_t find_output(const runner *r, PyObject *name)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(r->outputs); i++)
        if (PyUnicode_Check(name) && PyUnicode_Compare(name, PyTuple_GetItem(PyTuple_GetItem(r->outputs, i), 0)) == 0)
            return i;
    return -1;
}

/* The named outputs, all for None or an empty list: those that were lent are there already. */
static PyObject *results(runner *r, PyObject *names, PyObject *const *arrays)
{
    const bool all = names == Py_None || PyList_Size(names) == 0;
    const Py_ssize_t n = all ? PyTuple_Size(r->outputs) : PyList_Size(names);
    PyObject *list = PyList_New(n);

    for (Py_ssize_t i = 0; list && i < n; i++) {
        const Py_ssize_t index = all ? i : find_output(r, PyList_GetItem(names, i));
        PyObject *array = index < MOST_OUTPUTS ? arrays[index] : NULL;
        Py_XINCREF(array);
        if (!array)
            array = fetch(r, index);
        if (!array || array == Py_None) {
            Py_DECREF(list);
            return array;
        }
        PyList_SetItem(list, i, array);
    }
    return list;
}

static bool known_names(const runner *r, PyObject *names)
{
    if (names == Py_None)
        return true;
    if (!PyList_CheckExact(names))
        return false;
    for (Py_ssize_t i = 0; i < PyList_Size(names); i++)
        if (find_output(r, PyList_GetItem(names, i)) < 0)
            return false;
    return true;
}

/* runner(output_names, feed): a list of arrays; None where this is not the way. */
static PyObject *runner_call(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    runner *r = (runner *)self;
    PyObject *names, *feed;
    PyObject *arrays[MOST_OUTPUTS] = { NULL };
    lent held[MOST_INPUTS];
    ingot_error error;

    (void)keywords;
    if (!PyArg_UnpackTuple(arguments, "runner", 2, 2, &names, &feed))
        return NULL;
    if (r->busy || !known_names(r, names))
        Py_RETURN_NONE;
    r->busy = true;
    const Py_ssize_t n = bind(r, feed, held);
    PyObject *result = NULL;
    if (n >= 0) {
        lend(r, arrays);
        PyThreadState *state = PyEval_SaveThread();
        const ingot_status status = r->run(r->session, &error);
        PyEval_RestoreThread(state);
        take_back(r, arrays);
        result = status ? PyObject_CallFunction(r->fail, "is", (int)status, error.message) : results(r, names, arrays);
        for (int i = 0; i < MOST_OUTPUTS; i++)
            Py_XDECREF(arrays[i]);
        give_back(held, n);
    } else if (!PyErr_Occurred()) {
        Py_INCREF(Py_None);
        result = Py_None;
    }
    r->busy = false;
    return result;
}

static void runner_free(PyObject *self)
{
    runner *r = (runner *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject **const held[] = { &r->owner, &r->inputs, &r->outputs, &r->dtypes, &r->array, &r->empty, &r->fail };
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
        Py_XDECREF(*held[i]);
    release(self);
    Py_DECREF(type);
}

/* Runner(set_input, set_output, plan, run, output, value_type, session: addresses;
 *        owner, inputs, outputs, dtypes, ndarray, empty, fail) */
static PyObject *runner_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    unsigned long long at[7];
    PyObject *o[7];

    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "KKKKKKKOO!O!O!OOO", &at[0], &at[1], &at[2], &at[3], &at[4], &at[5], &at[6],
                          &o[0], &PyTuple_Type, &o[1], &PyTuple_Type, &o[2], &PyTuple_Type, &o[3], &o[4], &o[5], &o[6]))
        return NULL;
    if (PyTuple_Size(o[1]) > MOST_INPUTS)
        return PyErr_Format(PyExc_ValueError, "at most %d inputs", MOST_INPUTS);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    runner *r = (runner *)allocate(type, 0);
    if (!r)
        return NULL;
    r->set_input = (set_input_fn *)(uintptr_t)at[0];
    r->set_output = (set_input_fn *)(uintptr_t)at[1];
    r->plan = (run_fn *)(uintptr_t)at[2];
    r->run = (run_fn *)(uintptr_t)at[3];
    r->output = (output_fn *)(uintptr_t)at[4];
    r->value_type = (value_type_fn *)(uintptr_t)at[5];
    r->session = (ingot_session *)(uintptr_t)at[6];
    r->large = true;
    PyObject **const keep[] = { &r->owner, &r->inputs, &r->outputs, &r->dtypes, &r->array, &r->empty, &r->fail };
    for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
        Py_INCREF(o[i]);
        *keep[i] = o[i];
    }
    return (PyObject *)r;
}

static PyType_Slot runner_slots[] = {
    { Py_tp_new, (void *)runner_new },
    { Py_tp_dealloc, (void *)runner_free },
    { Py_tp_call, (void *)runner_call },
    { 0, NULL },
};
static PyType_Spec runner_spec = { "ingot._quick.Runner", sizeof(runner), 0, Py_TPFLAGS_DEFAULT, runner_slots };
static PyModuleDef module = { PyModuleDef_HEAD_INIT, "ingot._quick", NULL, -1, NULL, NULL, NULL, NULL, NULL };

PyMODINIT_FUNC PyInit__quick(void);    /* Python's headers declare no such function */

PyMODINIT_FUNC PyInit__quick(void)
{
    PyObject *m = PyModule_Create(&module);
    PyObject *type = m ? PyType_FromSpec(&runner_spec) : NULL;

    if (!type || PyModule_AddObject(m, "Runner", type)) {
        Py_XDECREF(type);
        Py_XDECREF(m);
        return NULL;
    }
    return m;
}
