/* Noticing changes by inotify; see watch.h. */
#include "daemon/watch.h"

#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

int watch_open(void)
{
	return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

int watch_add(int fd, const char *dir)
{
	if (fd < 0)
		return -1;
	return inotify_add_watch(
	    fd, dir, IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

void watch_remove(int fd, int handle)
{
	if (fd >= 0 && handle >= 0)
		(void)inotify_rm_watch(fd, handle); /* the folder may be gone, and the watch with it */
}

static bool is_ours(const char *name)
{
	static const char *const names[] = {"replica.db-wal", "replica.db", "config", "lock"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

void watch_read(int fd, void (*report)(void *context, int handle, bool gone), void *context)
{
	_Alignas(struct inotify_event) char buffer[16384];
	ssize_t len;
	while ((len = read(fd, buffer, sizeof buffer)) > 0) {
		for (ssize_t at = 0; at < len;) {
			struct inotify_event event;
			memcpy(&event, buffer + at, sizeof event);
			const char *name = buffer + at + sizeof event;
			at += (ssize_t)(sizeof event + event.len);

			if (event.mask & IN_Q_OVERFLOW)
				report(context, WATCH_ALL, false);
			else if (event.mask & IN_IGNORED)
				report(context, event.wd, true);
			else if (event.mask & IN_MOVE_SELF)
				/* What is at the path now is not what is watched; ends in IN_IGNORED. */
				watch_remove(fd, event.wd);
			else if (event.len > 0 && is_ours(name))
				report(context, event.wd, false);
		}
	}
}
