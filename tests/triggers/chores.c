/* Known calls of the C library: what the examples are to find. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

int main(void)
{
	char buffer[4096];
	void *volatile block;
	int file, zeros = open("/dev/zero", O_RDONLY), nothing = open("/dev/null", O_WRONLY);

	for (int i = 0; i < 10; i++)
		free(block = malloc(100000));
	for (int i = 0; i < 3; i++)
		free(block = calloc(40, 5000));
	for (int i = 0; i < 7; i++) {
		file = open("/proc/self/no\nsuch", O_RDONLY);
		pthread_mutex_lock(&mutex);
		pthread_mutex_unlock(&mutex);
	}
	for (int i = 0; i < 5; i++)
		if (read(zeros, buffer, 1000) != 1000 || write(nothing, buffer, 4000) != 4000)
			return 1;
	return file != -1;
}
