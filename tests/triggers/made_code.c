/* A runtime in small: code made in memory of its own, listed in /tmp/perf-PID.map, called, rewritten, moved, patched.
 * `made_code flip|rwx THREADS`: memory that is writable and executable by turns, or both. It does what it reads, a letter a
 * line, and says `done`; every result is checked, and the first wrong one ends it with status 1.
 *   c  call each function CALLS times in each thread     w  put made_twice where made_two was
 *   m  move made_one, and wipe out where it was           p  change made_three's operand in place, without a word
 *   n  make made_new                                      u  unmap the memory of made_alone
 *   e  call them for ever in THREADS more threads         o  call each once in this thread
 *   f  fork a child that calls them all                   b  put other code over made_three, which begins with an int3 */
#include "trigger.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { CALLS = 100, SIZE = 1 << 16, SLOTS = 6 };
typedef long (*function)(long);

static struct made {
	unsigned char *code;
	long plus, times;
} made[SLOTS];
static unsigned char *memory, *alone;
static int flips, threads;
static size_t used;
static FILE *map;
static pthread_rwlock_t heap = PTHREAD_RWLOCK_INITIALIZER;

static void check(int right)
{
	if (!right)
		_exit(1);
}

static void protect(unsigned char *at, int protection)
{
	if (flips)
		check(mprotect(at, SIZE, protection) == 0);
}

static void put(unsigned char *at, const void *code, size_t size)
{
	unsigned char *start = at >= memory && at < memory + SIZE ? memory : alone;

	protect(start, PROT_READ | PROT_WRITE);
	memcpy(at, code, size);
	protect(start, PROT_READ | PROT_EXEC);
}

static void list(unsigned char *at, size_t size, const char *name)
{
	fprintf(map, "%lx %zx %s\n", (long)at, size, name);
	fflush(map);
}

/* push %rbp; mov %rsp,%rbp; lea PLUS(%rdi),%rax; pop %rbp; ret */
static void make(int slot, unsigned char *at, int plus, const char *name)
{
	unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x87, 0, 0, 0, 0, 0x5d, 0xc3};

	memcpy(code + 7, &plus, 4);
	put(at, code, sizeof code);
	list(at, sizeof code, name);
	made[slot] = (struct made){at, plus, 1};
}

/* lea (%rdi,%rdi),%rax; ret */
static void make_twice(int slot, unsigned char *at, const char *name)
{
	unsigned char code[] = {0x48, 0x8d, 0x04, 0x3f, 0xc3};

	put(at, code, sizeof code);
	list(at, sizeof code, name);
	made[slot] = (struct made){at, 0, 2};
}

static unsigned char *room(void)
{
	used += 64;
	return memory + used - 64;
}

static void call_all(long n)
{
	int slot;

	for (slot = 0; slot < SLOTS; slot++)
		if (made[slot].code)
			check(((function)made[slot].code)(n) == n * made[slot].times + made[slot].plus);
}

static void *work(void *forever)
{
	long n;

	for (n = 0; forever || n < CALLS; n++) {
		pthread_rwlock_rdlock(&heap);
		call_all(n);
		pthread_rwlock_unlock(&heap);
	}
	return NULL;
}

static void start(void *forever)
{
	pthread_t ids[64];
	int thread;

	for (thread = 0; thread < threads; thread++)
		check(pthread_create(&ids[thread], NULL, work, forever) == 0);
	for (thread = 0; thread < threads && !forever; thread++)
		pthread_join(ids[thread], NULL);
}

static void on_trap(int number)
{
}

static void obey(char command)
{
	static const unsigned char breaks[] = {0xcc, 0x48, 0x8d, 0x47, 0x07, 0xc3};
	unsigned char *old;
	int plus = 40, status;
	pid_t child;

	switch (command) {
	case 'c':
		start(NULL);
		return;
	case 'o':
		call_all(5);
		return;
	case 'e':
		start("");
		return;
	case 'f':
		child = fork();
		if (child == 0) {
			call_all(3);
			_exit(7);
		}
		check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
		return;
	}
	pthread_rwlock_wrlock(&heap);
	switch (command) {
	case 'w':
		make_twice(1, made[1].code, "made_twice");
		break;
	case 'm':
		old = made[0].code;
		make(0, room(), 1, "made_one");
		put(old, (unsigned char[64]){0}, 64);
		break;
	case 'p':
		put(made[2].code + 7, &plus, 4);
		made[2].plus = plus;
		break;
	case 'n':
		make(4, room(), 5, "made_new");
		break;
	case 'u':
		made[3].code = NULL;
		check(munmap(alone, SIZE) == 0);
		break;
	case 'b': /* lea 7(%rdi),%rax behind an int3 of its own, for which it has a handler */
		signal(SIGTRAP, on_trap);
		put(made[2].code, breaks, sizeof breaks);
		made[2].plus = 7;
		break;
	}
	pthread_rwlock_unlock(&heap);
}

static unsigned char *heap_memory(void)
{
	int protection = flips ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC;
	unsigned char *mapped = mmap(NULL, SIZE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(mapped != MAP_FAILED);
	return mapped;
}

int main(int argc, char **argv)
{
	char name[64], command;

	flips = argc > 1 && argv[1][0] == 'f';
	threads = argc > 2 ? atoi(argv[2]) : 1;
	snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
	map = fopen(name, "w");
	check(map != NULL);
	memory = heap_memory();
	mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* neighbours would be one mapping */
	alone = heap_memory();
	make(0, room(), 1, "made_one");
	make(1, room(), 2, "made_two");
	make(2, room(), 3, "made_three");
	make(3, alone, 4, "made alone: of /a.file\033[1m");
	wait_for_go();
	while (read(STDIN_FILENO, &command, 1) == 1) {
		if (command == '\n')
			continue;
		obey(command);
		printf("done\n");
		fflush(stdout);
	}
	unlink(name);
	return 0;
}
