/* far_scratch THREADS ROUNDS LIVES FREQUENCY [stay]: functions that begin with an operand relative to rip, in a program that has
 * no room within 2 GiB. THREADS threads call each of them ROUNDS times (0: for ever) and check the results and what else
 * is in the registers; LIVES times over, with new threads. At FREQUENCY Hz a signal's handler calls one of them as well.
 * Prints how often each was called by threads, how often all together by handlers, and how many results were wrong;
 * then ends, or stays.
 * SIGUSR1 makes it print `well` and a number if it finds nothing wrong. */
#define _GNU_SOURCE
#include "trigger.h"
#include "crowded.h"
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/time.h>
#include <ucontext.h>

/* rdi and r8 are one number, rsi and rdx another, rbp a third, rcx is 9, rax 5. */
#define TAIL "lea (%rax,%rdi),%rax; lea (%rax,%rsi,2),%rax; add %rbp,%rax; ret"
#define FAR_FUNCTION(name, text) __attribute__((naked, noinline, used)) long first_##name(void) { asm(text TAIL); }

volatile long cells[4] = {11, 22, 33, 44};
volatile long ones = -1;

FAR_FUNCTION(load, "mov cells+8(%rip),%rax;")
FAR_FUNCTION(lea, "lea cells+8(%rip),%rax; mov (%rax),%rax;")
FAR_FUNCTION(cmp, "cmpq $22,cells+8(%rip); mov $0,%eax; sete %al;")
FAR_FUNCTION(store, "movq $33,cells+16(%rip); mov cells+16(%rip),%rax;")
FAR_FUNCTION(imul, "imul $3,cells+8(%rip),%rax;")
FAR_FUNCTION(mul, "mulq cells+8(%rip);")
FAR_FUNCTION(cmpxchg, "lock cmpxchg %rdi,cells+8(%rip);")
FAR_FUNCTION(rol_cl, "rolq %cl,ones(%rip); mov ones(%rip),%rax;")
FAR_FUNCTION(into_rsi, "mov cells+8(%rip),%rsi; mov %rsi,%rax; mov %rdx,%rsi;")
FAR_FUNCTION(into_rdi, "mov cells+8(%rip),%rdi; mov %rdi,%rax; mov %r8,%rdi;")
FAR_FUNCTION(dh, "mov cells+8(%rip),%dh; movzbl %dh,%eax;")
FAR_FUNCTION(r9, "mov cells+8(%rip),%r9; mov %r9,%rax;")
FAR_FUNCTION(push, "push cells+8(%rip); pop %rax;")
FAR_FUNCTION(sse, "movq cells+8(%rip),%xmm0; movq %xmm0,%rax;")
__attribute__((naked, used)) static void target(void) { asm("mov $7,%eax; ret"); }
__attribute__((naked, used)) static void tail_target(void) { asm("mov $8,%eax;" TAIL); }
void *pointer = target, *tail_pointer = tail_target;
FAR_FUNCTION(call, "call *pointer(%rip);")
FAR_FUNCTION(jmp, "jmp *tail_pointer(%rip);")

static const struct row {
	long (*function)(void);
	long value;
} rows[] = {
	{first_load, 22}, {first_lea, 22}, {first_cmp, 1}, {first_store, 33}, {first_imul, 66}, {first_mul, 110},
	{first_cmpxchg, 22}, {first_rol_cl, -1}, {first_into_rsi, 22}, {first_into_rdi, 22}, {first_dh, 22},
	{first_r9, 22}, {first_push, 22}, {first_sse, 22}, {first_call, 7}, {first_jmp, 8},
};
#define ROWS ((long)(sizeof rows / sizeof *rows))

static long rounds, lives, handled;
static int wrong;
static volatile sig_atomic_t asked;
static pthread_barrier_t start, finish;

static void call(const struct row *row, long n)
{
	long rax = 5, rdi = n, rsi = 3 * n, rdx = rsi, rcx = 9;
	register long r8 asm("r8") = n;

	asm volatile("sub $128,%%rsp; push %%rbp; mov $1000,%%ebp; call *%[function]; pop %%rbp; add $128,%%rsp"
		     : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+c"(rcx), "+r"(r8)
		     : [function] "r"(row->function)
		     : "memory", "cc", "r9", "r10", "r11", "xmm0");
	if (rax != row->value + 7 * n + 1000 || rdi != n || rsi != 3 * n || rcx != 9)
		if (__sync_fetch_and_add(&wrong, 1) < 20)
			dprintf(STDERR_FILENO, "row %d of %ld gave %ld\n", (int)(row - rows), n, rax);
}

static void on_alarm(int number, siginfo_t *info, void *context)
{
	Dl_info where;

	/* Whose tracer has been killed may be anywhere, for a moment: that is not asked of a program that runs for ever. */
	if (rounds && !dladdr((void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP], &where))
		__sync_fetch_and_add(&wrong, 1);
	call(&rows[__sync_fetch_and_add(&handled, 1) % ROWS], handled);
}

static void on_user(int number)
{
	asked = 1;
}

static void *work(void *first)
{
	long n, row;

	if (first)
		pthread_barrier_wait(&start);
	for (n = 0; rounds == 0 || n < rounds; n++) {
		for (row = 0; row < ROWS; row++)
			call(&rows[row], n);
		if (wrong && rounds == 0)
			_exit(1);
		if (asked) {
			asked = 0;
			dprintf(STDOUT_FILENO, "well %ld\n", n);
		}
	}
	/* All threads of a life have been alive together. */
	pthread_barrier_wait(&finish);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1, frequency = argc > 4 ? atoi(argv[4]) : 0, life, n;
	struct sigaction alarm = {.sa_sigaction = on_alarm, .sa_flags = SA_RESTART | SA_SIGINFO};
	struct sigaction user = {.sa_handler = on_user, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, frequency ? 1000000 / frequency : 0}, {0, frequency ? 1 : 0}}, never = {{0, 0}, {0, 0}};
	pthread_t made[64];

	rounds = argc > 2 ? atol(argv[2]) : 1;
	lives = argc > 3 ? atol(argv[3]) : 1;
	crowd();
	sigaction(SIGALRM, &alarm, NULL);
	sigaction(SIGUSR1, &user, NULL);
	pthread_barrier_init(&start, NULL, threads + 1);
	pthread_barrier_init(&finish, NULL, threads);
	for (n = 0; n < threads; n++)
		pthread_create(&made[n], NULL, work, &start);
	wait_for_go();
	setitimer(ITIMER_REAL, &every, NULL);
	pthread_barrier_wait(&start);
	for (life = 0; life < lives; life++)
		for (n = 0; n < threads; n++) {
			pthread_join(made[n], NULL);
			if (life + 1 < lives)
				pthread_create(&made[n], NULL, work, NULL);
		}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%ld %ld %d\n", threads * rounds * lives, handled, wrong);
	fflush(stdout);
	if (argc > 5)
		for (;;)
			pause();
	return wrong != 0;
}
