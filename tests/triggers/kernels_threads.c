/* Has two threads that the kernel has made of it and that never leave the kernel: one that waits for requests in a ring of
 * io_uring, and one that carries out such a request, a read of an empty pipe. Calls work() three times when told to go on.
 * Says `refused` where io_uring can't be used. */
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "trigger.h"

#define RING_BYTES 4096

NOINLINE void work(void) { __asm__ volatile("" ::: "memory"); }

static int ring(struct io_uring_params *params, unsigned flags)
{
	memset(params, 0, sizeof *params);
	params->flags = flags;
	params->sq_thread_idle = 1000000;
	return (int)syscall(SYS_io_uring_setup, 1, params);
}

static void *shared(int fd, off_t place)
{
	void *at = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, place);

	if (at == MAP_FAILED)
		exit(1);
	return at;
}

int main(void)
{
	static char byte;
	struct io_uring_params params;
	int waiting = ring(&params, IORING_SETUP_SQPOLL), working = ring(&params, 0), ends[2];
	struct io_uring_sqe *request;
	char *queue;

	if (waiting < 0 || working < 0) {
		puts("refused");
		return 1;
	}
	if (pipe(ends) != 0)
		return 1;
	queue = shared(working, IORING_OFF_SQ_RING);
	request = shared(working, IORING_OFF_SQES);
	request->opcode = IORING_OP_READ;
	request->flags = IOSQE_ASYNC;
	request->fd = ends[0];
	request->addr = (unsigned long)&byte;
	request->len = 1;
	__atomic_store_n((unsigned *)(queue + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, working, 1, 0, 0, NULL, 0) != 1)
		return 1;
	wait_for_go();
	work();
	work();
	work();
	return 0;
}
