/*
 * The main thread exits; another one says `ready` once it has, and calls work() for every byte read, then says
 * `done`.
 */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include "trigger.h"
#include <pthread.h>

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

/* The process's state, which is that of its main thread: the letter after `(name) ` in its stat file. */
static char state(void)
{
	char text[512], *end = NULL;
	int fd = open("/proc/self/stat", O_RDONLY);
	ssize_t size = read(fd, text, sizeof text - 1);

	close(fd);
	if (size > 0) {
		text[size] = '\0';
		end = strrchr(text, ')');
	}
	return end == NULL ? '?' : end[2];
}

static void *serve(void *unused)
{
	char byte;

	(void)unused;
	while (state() != 'Z')
		sched_yield();
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		_exit(1);
	while (read(STDIN_FILENO, &byte, 1) == 1) {
		work();
		if (write(STDOUT_FILENO, "done\n", 5) != 5)
			_exit(1);
	}
	_exit(0);
}

int main(void)
{
	pthread_t server;

	if (pthread_create(&server, NULL, serve, NULL) != 0)
		return 1;
	pthread_exit(NULL);
}
