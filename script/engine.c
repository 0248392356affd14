/* The JavaScript engine; see engine.h. The names with a Z are those that wasm2c makes from the module's. */
#include "script/engine.h"

#include <stdlib.h>
#include <string.h>

#include "quickjs.h"

#define PAGES_A_MIB 16
#define STACK_BYTES (512u << 10) /* of the engine's own 1 MiB; beyond it JavaScript gets a RangeError */
#define WASI_BADF 8
#define POINTER_BYTES 4

struct realm {
	u32 context;
	u32 function; /* what its code evaluated to */
	u32 text;     /* the last answer; 0: none */
};

/* The engine is one by its nature: its imports below carry no other state than this. */
static struct {
	Z_quickjs_instance_t instance;
	u32 runtime;
	u64 time_ns;
	u32 scratch; /* room for a length or a pointer */
} engine;

/* ---- what the engine may ask of us ---- */

struct Z_env_instance_t;
struct Z_wasi_snapshot_preview1_instance_t;
#define ENV struct Z_env_instance_t *env
#define WASI struct Z_wasi_snapshot_preview1_instance_t *wasi

static u8 *at(u32 address)
{
	return Z_quickjsZ_memory(&engine.instance)->data + address;
}

static void put(u32 address, const void *data, size_t len)
{
	const wasm_rt_memory_t *memory = Z_quickjsZ_memory(&engine.instance);

	if (address < memory->size && len <= memory->size - address)
		memcpy(memory->data + address, data, len);
}

u32 Z_envZ_host_call(ENV, u32 name, u32 self, u32 count, u32 arguments, u32 magic)
{
	(void)env, (void)name, (void)self, (void)count, (void)arguments, (void)magic;
	return 0;
}

u32 Z_envZ_host_get_timezone_offset(ENV, u32 low, u32 high)
{
	(void)env, (void)low, (void)high;
	return 0; /* UTC everywhere, so that offices agree */
}

u32 Z_envZ_host_interrupt(ENV)
{
	(void)env;
	return 0;
}

u32 Z_envZ_host_module_load(ENV, u32 name, u32 length)
{
	(void)env, (void)name, (void)length;
	return 0;
}

u32 Z_envZ_host_module_normalize(ENV, u32 base, u32 name)
{
	(void)env, (void)base, (void)name;
	return 0;
}

void Z_envZ_host_promise_rejection(ENV, u32 promise, u32 reason, u32 handled)
{
	(void)env, (void)promise, (void)reason, (void)handled;
}

u32 Z_wasi_snapshot_preview1Z_clock_time_get(WASI, u32 clock, u64 precision, u32 result)
{
	(void)wasi, (void)clock, (void)precision;
	put(result, &engine.time_ns, sizeof(engine.time_ns));
	return 0;
}

u32 Z_wasi_snapshot_preview1Z_random_get(WASI, u32 address, u32 len)
{
	const wasm_rt_memory_t *memory = Z_quickjsZ_memory(&engine.instance);

	(void)wasi;
	if (address < memory->size && len <= memory->size - address)
		memset(memory->data + address, 0, len);
	return 0;
}

u32 Z_wasi_snapshot_preview1Z_fd_close(WASI, u32 fd)
{
	(void)wasi, (void)fd;
	return WASI_BADF;
}

u32 Z_wasi_snapshot_preview1Z_fd_fdstat_get(WASI, u32 fd, u32 result)
{
	(void)wasi, (void)fd, (void)result;
	return WASI_BADF;
}

u32 Z_wasi_snapshot_preview1Z_fd_seek(WASI, u32 fd, u64 offset, u32 whence, u32 result)
{
	(void)wasi, (void)fd, (void)offset, (void)whence, (void)result;
	return WASI_BADF;
}

u32 Z_wasi_snapshot_preview1Z_fd_write(WASI, u32 fd, u32 vectors, u32 count, u32 result)
{
	(void)wasi, (void)fd, (void)vectors, (void)count, (void)result;
	return WASI_BADF;
}

/* ---- life ---- */

int engine_start(unsigned memory_mib)
{
	wasm_rt_init();
	Z_quickjs_init_module();
	Z_quickjs_instantiate(&engine.instance, NULL, NULL);
	if (memory_mib * PAGES_A_MIB < Z_quickjsZ_memory(&engine.instance)->pages)
		return -1;
	Z_quickjsZ_memory(&engine.instance)->max_pages = memory_mib * PAGES_A_MIB;
	Z_quickjsZ__initialize(&engine.instance);
	if (Z_quickjsZ_qjs_init(&engine.instance) != 0)
		return -1;
	Z_quickjsZ_qjs_set_max_stack_size(&engine.instance, STACK_BYTES);
	engine.runtime = Z_quickjsZ_qjs_get_runtime_ptr(&engine.instance);
	engine.scratch = Z_quickjsZ_wasm_malloc(&engine.instance, POINTER_BYTES);
	return engine.runtime && engine.scratch ? 0 : -1;
}

void engine_set_time(int64_t milliseconds)
{
	engine.time_ns = (u64)milliseconds * 1000000u;
}

/* A copy of the text in the engine's memory, with a NUL behind it; 0 without memory. */
static u32 copy_in(const char *text, size_t len)
{
	u32 address = len < UINT32_MAX ? Z_quickjsZ_wasm_malloc(&engine.instance, (u32)len + 1) : 0;

	if (address) {
		memcpy(at(address), text, len);
		*at(address + (u32)len) = 0;
	}
	return address;
}

static void enter(const struct realm *realm)
{
	Z_quickjsZ_qjs_set_runtime_and_context(&engine.instance, engine.runtime, realm->context);
}

/* Whether the value is one; otherwise it is freed, and the exception that stands for it with it. */
static int keep(u32 value)
{
	u32 exception;

	if (value && !Z_quickjsZ_qjs_is_exception(&engine.instance, value))
		return 1;
	exception = Z_quickjsZ_qjs_get_exception(&engine.instance);
	if (exception)
		Z_quickjsZ_qjs_free_value(&engine.instance, exception);
	if (value)
		Z_quickjsZ_qjs_free_value(&engine.instance, value);
	return 0;
}

struct realm *realm_new(const char *code, size_t len)
{
	struct realm *realm = calloc(1, sizeof(*realm));
	u32 text = 0, name = 0;

	if (!realm)
		return NULL;
	realm->context = Z_quickjsZ_JS_NewContext(&engine.instance, engine.runtime);
	if (!realm->context)
		goto fail;
	enter(realm);
	text = copy_in(code, len);
	name = copy_in("server.js", 9);
	if (text && name)
		realm->function = Z_quickjsZ_qjs_eval(&engine.instance, text, (u32)len, name, 0);
	if (text)
		Z_quickjsZ_wasm_free(&engine.instance, text);
	if (name)
		Z_quickjsZ_wasm_free(&engine.instance, name);
	if (realm->function && keep(realm->function) && Z_quickjsZ_qjs_is_function(&engine.instance, realm->function))
		return realm;
	realm->function = 0;
fail:
	realm_free(realm);
	return NULL;
}

static void free_text(struct realm *realm)
{
	if (realm->text)
		Z_quickjsZ_qjs_free_cstring(&engine.instance, realm->text);
	realm->text = 0;
}

void realm_free(struct realm *realm)
{
	if (!realm)
		return;
	if (realm->context) {
		enter(realm);
		free_text(realm);
		if (realm->function)
			Z_quickjsZ_qjs_free_value(&engine.instance, realm->function);
		Z_quickjsZ_JS_FreeContext(&engine.instance, realm->context);
	}
	free(realm);
}

char *realm_call(struct realm *realm, const char *line, size_t len, size_t *answer_len)
{
	u32 text, argument, self, result, n;

	enter(realm);
	free_text(realm);
	text = copy_in(line, len);
	if (!text)
		return NULL;
	argument = Z_quickjsZ_qjs_new_string(&engine.instance, text, (u32)len);
	Z_quickjsZ_wasm_free(&engine.instance, text);
	if (!keep(argument))
		return NULL;
	put(engine.scratch, &argument, sizeof(argument));
	self = Z_quickjsZ_qjs_get_undefined(&engine.instance);
	result = Z_quickjsZ_qjs_call(&engine.instance, realm->function, self, 1, engine.scratch);
	Z_quickjsZ_qjs_free_value(&engine.instance, argument);
	Z_quickjsZ_qjs_free_value(&engine.instance, self);
	if (!keep(result))
		return NULL;
	if (Z_quickjsZ_qjs_is_string(&engine.instance, result))
		realm->text = Z_quickjsZ_qjs_get_string_len(&engine.instance, result, engine.scratch);
	Z_quickjsZ_qjs_free_value(&engine.instance, result);
	if (!realm->text)
		return NULL;
	memcpy(&n, at(engine.scratch), sizeof(n));
	*answer_len = n;
	return (char *)at(realm->text);
}
