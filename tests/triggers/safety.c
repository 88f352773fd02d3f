/* Installs the safety handler, whose memory and disposition are in the file named, and meets int3s: at two sites, which it
 * takes away at once, or if the file's copy of the first says so (argument `copy`, `wait`) leaves; or of which the program
 * has changed what is behind (`made`): at the first an operand, at the second the instruction, which is no longer ours. Ends
 * with 0 if all is well. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>
#include <sys/syscall.h>
struct { unsigned long handler, flags, restorer, mask; } action;
unsigned char *page, *sites = (void *)0x20000000;
static const unsigned char body[] = "\xcc\xb8\x07\x00\x00\x00\xc3"; /* int3; mov $7,%eax; ret */
__attribute__((naked, noinline)) long elsewhere(void) { asm("int3; mov $9,%eax; ret"); }
static volatile long own, own_pc;
static void on_trap(int number, siginfo_t *info, void *context)
{
	own += number == SIGTRAP && info->si_signo == SIGTRAP;
	own_pc = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}
/* `place`: of the record of what the program has set for SIGTRAP. */
static long takes_own(long place)
{
	siginfo_t undone = {.si_signo = SIGTRAP, .si_code = 0x80};

	*(void **)(page + place) = on_trap;
	if (elsewhere() != 9 || own != 1 || own_pc != (long)elsewhere + 1)
		return 10;
	raise(SIGTRAP);
	if (own != 2)
		return 11;
	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGTRAP, &undone);
	return own == 2 ? 0 : 12;
}
static long call(void *code) { return ((long (*)(void))code)(); }
static volatile int sent;
static void on_user(int number) { sent++; }
/* At the end of a copy that stops a thread sends itself what waits for it, and not what waits for others. */
static long takes_waiting(long place, void *copy)
{
	struct { unsigned char at_stop, late; unsigned short time; int thread; } *waiting = (void *)(page + place + 48);

	signal(SIGUSR1, on_user);
	waiting[0].at_stop = SIGKILL, waiting[0].thread = gettid() + 1;
	waiting[1].late = SIGKILL, waiting[1].thread = gettid();
	waiting[24].at_stop = SIGUSR1, waiting[24].thread = gettid();
	return call(copy) == 5 && sent == 1 ? 0 : 13;
}
static void *map(unsigned long at, long size, int access)
{
	return mmap((void *)at, size, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}
static void *mend(void *unused)
{
	usleep(20000);
	mprotect(sites, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	*(volatile unsigned char *)sites = 0x90;
	return NULL;
}
int main(int argc, char **argv)
{
	int forbidden = strcmp(argv[2], "undumpable") == 0;
	pthread_t thread;
	FILE *image = fopen(argv[1], "rb");
	page = map(0x10000000, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
	map((unsigned long)sites, 4096, PROT_READ | PROT_WRITE);
	memcpy(sites, body, sizeof body);
	memcpy(sites + 64, body, sizeof body);
	if (strcmp(argv[2], "made") == 0)
		sites[2] = 6, sites[64 + 1] = 0xb9;
	mprotect(sites, 4096, PROT_READ | PROT_EXEC);
	if (fread(page, 1, 8192, image) != 8192)
		return 2;
	memcpy(&action, page + 2048, sizeof action);
	if (syscall(SYS_rt_sigaction, SIGTRAP, &action, 0, 8))
		return 3;
	if (forbidden && ((geteuid() == 0 && setresuid(65534, 65534, 65534)) || prctl(PR_SET_DUMPABLE, 0)))
		return 14;
	/* One in scratch memory: the thread has been sent to its copy, and the handler lets it go on. */
	memcpy(page + 6000, "\xcc\xb8\x05\x00\x00\x00\xc3", 7);
	if (call(page + 6000) != 5)
		return 4;
	if (strcmp(argv[2], "waiting") == 0)
		return takes_waiting(atol(argv[3]), page + 6000);
	if (elsewhere() != 9) /* not behind a site: the handler lets it go on */
		return 6;
	if (strcmp(argv[2], "own") == 0)
		return takes_own(atol(argv[3]));
	if (strcmp(argv[2], "wait") == 0)
		pthread_create(&thread, NULL, mend, NULL);
	if (call(sites) != (strcmp(argv[2], "copy") == 0 ? 8 : strcmp(argv[2], "made") == 0 ? 6 : 7))
		return 5;
	if (strcmp(argv[2], "made") == 0 && (sites[0] != 0x90 || sites[64] != 0xcc))
		return 8;
	if (forbidden && prctl(PR_GET_DUMPABLE) != 0)
		return 15;
	if ((forbidden || strcmp(argv[2], "heal") == 0) && (sites[0] != 0x90 || sites[64] != 0x90))
		return 7;
	raise(SIGTRAP);
	return 0;
}
