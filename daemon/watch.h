/*
 * Noticing that a space has changed, by inotify on its folder: writes to replica.db and its WAL (any program's, this
 * one's too), a new config, and the end of work under the lock (a member was admitted). It says that something
 * happened, never what; the worker looks.
 */
#ifndef QOSID_DAEMON_WATCH_H
#define QOSID_DAEMON_WATCH_H

#include <stdbool.h>

#define WATCH_ALL (-1) /* events were lost: any folder may have changed */

/* An inotify descriptor, non-blocking, or -1 when there is none to be had. */
int watch_open(void);

/* Watch a folder; its handle, or -1 when it is absent or cannot be watched. */
int watch_add(int fd, const char *dir);
void watch_remove(int fd, int handle);

/* Read what has happened. gone: the folder is no longer there and its handle is void. */
void watch_read(int fd, void (*report)(void *context, int handle, bool gone), void *context);

#endif
