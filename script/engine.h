/*
 * The JavaScript engine: QuickJS, compiled to WebAssembly by its publisher and from there to C by wasm2c.
 *
 * JavaScript therefore runs in a memory of its own, 32-bit and bounds-checked, whose only doors are the functions in
 * engine.c: what time it is (which we say), random numbers (which are none), and nothing else. A fault inside the
 * engine ends this process with the number of the trap as its exit status.
 *
 * One engine a process. A realm is a set of globals of its own; nothing is shared between realms.
 */
#ifndef QOSID_SCRIPT_ENGINE_H
#define QOSID_SCRIPT_ENGINE_H

#include <stddef.h>
#include <stdint.h>

struct realm;

/* Start the engine, which may grow to so many MiB. Returns 0 or -1. */
int engine_start(unsigned memory_mib);

/* What Date says until the next call, in Unix milliseconds. */
void engine_set_time(int64_t milliseconds);

/* Make a realm and evaluate code in it, whose value is a function from string to string. NULL without memory or when
 * the code fails. */
struct realm *realm_new(const char *code, size_t len);
void realm_free(struct realm *realm); /* accepts NULL */

/* Call the realm's function. The text lies in the engine's memory until the next call of anything here and ends with a
 * NUL, which may be overwritten; NULL when the function threw or returned no string. */
char *realm_call(struct realm *realm, const char *line, size_t len, size_t *answer_len);

#endif
