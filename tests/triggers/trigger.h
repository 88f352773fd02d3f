/* What triggers share: see tests/harness/triggers.py. */
#ifndef TRIGGER_H
#define TRIGGER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noipa))

/* With TRIGGER_WAIT set, say `ready` and wait for a byte; end quietly if whoever started us has gone. */
static inline void wait_for_go(void)
{
	char byte;

	if (getenv("TRIGGER_WAIT") == NULL)
		return;
	if (write(STDOUT_FILENO, "ready\n", 6) != 6 || read(STDIN_FILENO, &byte, 1) != 1)
		exit(0);
}

#endif
