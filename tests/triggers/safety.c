/* Installs the safety handler, whose code and disposition are in the file named, and meets int3s. Ends with 0 if all is well. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <sys/syscall.h>
struct { unsigned long handler, flags, restorer, mask; } action;
unsigned char *page;
__attribute__((naked, noinline, aligned(4096))) long site(void) { asm("int3; mov $7,%eax; ret"); }
__attribute__((naked, noinline)) long elsewhere(void) { asm("int3; mov $9,%eax; ret"); }
static void *mend(void *unused)
{
	usleep(20000);
	mprotect((void *)site, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	*(volatile unsigned char *)site = 0x90;
	return NULL;
}
int main(int argc, char **argv)
{
	pthread_t thread;
	FILE *code = fopen(argv[1], "rb");
	page = mmap((void *)0x10000000, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (fread(page, 1, 4096, code) < 100)
		return 2;
	memcpy(&action, page + 2048, sizeof action);
	if (syscall(SYS_rt_sigaction, SIGTRAP, &action, 0, 8))
		return 3;
	page[4096] = 0xcc; /* one that stops; it has been sent to its copy: the handler lets it go on */
	memcpy(page + 4097, "\xb8\x05\x00\x00\x00\xc3", 6);
	if (((long (*)(void))(page + 4096))() != 5)
		return 4;
	*(unsigned long *)(page + 4096 + 64) = (unsigned long)site; /* the region's table, behind its one slot */
	if (elsewhere() != 9) /* not behind a site: the handler lets it go on */
		return 6;
	pthread_create(&thread, NULL, mend, NULL);
	if (site() != 7)
		return 5;
	raise(SIGTRAP);
	return 0;
}
