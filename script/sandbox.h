/*
 * What qosid-script gives up before it reads a word that others wrote: files, sockets, other processes, and every
 * system call but reading and writing what is open, memory, a timer of its own CPU time and its end.
 */
#ifndef QOSID_SCRIPT_SANDBOX_H
#define QOSID_SCRIPT_SANDBOX_H

/* Close every descriptor past the three standard ones and set limits; the engine may use so much memory. */
int sandbox_limit(unsigned memory_mib);

/* From here on another system call ends the process. */
int sandbox_seal(void);

/* The process ends when it has used so many more seconds of CPU: in case nobody is left to end it. */
void sandbox_arm(unsigned seconds);

#endif
