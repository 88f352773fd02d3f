/* A library whose initialiser forks: the child goes through the program's entry point, as the parent does. */
#include <unistd.h>

__attribute__((constructor)) static void start(void)
{
	if (fork() == 0)
		write(STDOUT_FILENO, "child\n", 6);
}
