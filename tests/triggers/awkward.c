/* awkward THREADS ROUNDS: functions whose first instruction is hard to execute anywhere but in its place, each called
 * ROUNDS times by each thread with its result checked. Prints how often each first instruction was executed, and then
 * the number of wrong results, which is also the exit status. */
#define _GNU_SOURCE
#include "trigger.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

/* rdi, rsi, rdx, rcx and rax as the table below gives them; reached() is what jumps and calls arrive at. */
#define AWKWARD(name, text) __attribute__((naked, noinline, used)) long name(void) { asm(text); }

/* Where the stack or the flags must be made ready first: ready_NAME jumps to first_NAME. */
#define READY(name, ready, text) \
	AWKWARD(first_##name, text) \
	AWKWARD(ready_##name, ready)

volatile long cells[4] = {11, 22, 33, 44};
long vector[8] __attribute__((aligned(64))) = {1, 2, 3, 4, 5, 6, 7, 8};

AWKWARD(reached, "mov $7,%eax; ret")
AWKWARD(add_reached, "lea 7(%rdi),%rax; ret")
void *pointer_to_reached = reached, *pointer_to_add = add_reached;

/* The stack. */
AWKWARD(first_push_rsp, "push %rsp; pop %rax; sub %rsp,%rax; lea 1(%rdi,%rax),%rax; ret")
READY(pop_rsp, "mov %rsp,%rdx; sub $64,%rsp; push %rdx; jmp first_pop_rsp", "pop %rsp; lea 1(%rdi),%rax; ret")
READY(pop, "push $5; jmp first_pop", "pop %rcx; lea (%rdi,%rcx),%rax; ret")
AWKWARD(first_push_r12, "push %r12; pop %r12; lea 1(%rdi),%rax; ret")
AWKWARD(first_push_imm, "push $-3; pop %rax; add %rdi,%rax; ret")
AWKWARD(first_push_rip, "push cells+8(%rip); pop %rax; add %rdi,%rax; ret")
AWKWARD(first_mov_rsp, "mov %rsp,%rax; sub %rsp,%rax; lea 1(%rdi,%rax),%rax; ret")
AWKWARD(first_sub_rsp, "sub $24,%rsp; add $24,%rsp; lea 1(%rdi),%rax; ret")
READY(leave, "push %rbp; mov %rsp,%rbp; sub $64,%rsp; jmp first_leave", "leave; lea 1(%rdi),%rax; ret")
AWKWARD(first_enter, "enter $16,$0; leave; lea 1(%rdi),%rax; ret")

/* The flags. */
AWKWARD(first_pushf, "pushf; pop %rax; and $0x100,%rax; lea 1(%rdi,%rax),%rax; ret")
READY(popf, "pushf; orl $0x801,(%rsp); jmp first_popf", "popf; mov $0,%eax; seto %al; adc %rdi,%rax; ret")
READY(adc, "stc; jmp first_adc", "adc $0,%rdi; mov %rdi,%rax; ret")
READY(jc_taken, "stc; jmp first_jc_taken", "jc 1f; hlt; 1: lea 1(%rdi),%rax; ret")
READY(jc_not_taken, "clc; jmp first_jc_not_taken", "jc 1f; lea 1(%rdi),%rax; ret; 1: hlt")
READY(cmov, "stc; jmp first_cmov", "cmovc %rdi,%rax; ret")
READY(lahf, "stc; jmp first_lahf", "lahf; movzbl %ah,%eax; and $1,%eax; add %rdi,%rax; ret")
AWKWARD(first_std, "std; cld; lea 1(%rdi),%rax; ret")

/* Control flow. */
AWKWARD(first_call, "call 1f; 2: add %rdi,%rax; ret; 1: mov (%rsp),%rax; lea 2b(%rip),%rdx; sub %rdx,%rax; ret")
AWKWARD(first_call_memory, "call *pointer_to_reached(%rip); add %rdi,%rax; ret")
AWKWARD(first_call_register, "call *%rdx; add %rdi,%rax; ret")
AWKWARD(first_bnd_call, ".byte 0xf2; call reached; add %rdi,%rax; ret")
AWKWARD(first_jmp, "jmp 1f; hlt; 1: lea 1(%rdi),%rax; ret")
AWKWARD(first_jmp_far, ".byte 0xe9; .long 1f-.-4; hlt; 1: lea 1(%rdi),%rax; ret")
AWKWARD(first_jmp_memory, "jmp *pointer_to_add(%rip)")
AWKWARD(first_jmp_register, "jmp *%rdx")
AWKWARD(first_notrack_jmp, "notrack jmp *%rdx")
AWKWARD(first_bnd_jmp, ".byte 0xf2; jmp 1f; hlt; 1: lea 1(%rdi),%rax; ret")
AWKWARD(first_ret, "ret")
AWKWARD(first_rep_ret, ".byte 0xf3,0xc3")
AWKWARD(first_bnd_ret, ".byte 0xf2,0xc3")
READY(ret_imm, "push %rdi; push %rdi; call first_ret_imm; ret", "ret $16")
AWKWARD(first_loop, "loop 1f; hlt; 1: lea (%rdi,%rcx),%rax; ret")
READY(loopne, "cmp %rdi,%rdi; jmp first_loopne", "loopne 1f; lea (%rdi,%rcx),%rax; ret; 1: hlt")
AWKWARD(first_jrcxz, "jrcxz 1f; lea 1(%rdi),%rax; ret; 1: hlt")
AWKWARD(first_jecxz, "jecxz 1f; lea 1(%rdi),%rax; ret; 1: hlt")
AWKWARD(first_endbr, "endbr64; lea 1(%rdi),%rax; ret")
/* Branches back: to the first instruction, which is executed nine times a call, and to the second. */
AWKWARD(first_again, "dec %ecx; jnz first_again; lea 1(%rdi),%rax; ret")
AWKWARD(first_once, "xor %eax,%eax; 1: push %rdi; inc %eax; pop %rdx; dec %ecx; jnz 1b; add %rdi,%rax; ret")
AWKWARD(first_nop_once, "nop; 1: push %rdi; pop %rdx; dec %ecx; jnz 1b; lea 9(%rdi),%rax; ret")

/* Memory, relative to the instruction pointer and not; string instructions; locks. */
AWKWARD(first_rip_load, "mov cells+8(%rip),%rax; add %rdi,%rax; ret")
AWKWARD(first_rip_lea, "lea cells+8(%rip),%rax; mov (%rax),%rax; add %rdi,%rax; ret")
AWKWARD(first_rip_cmp, "cmpq $22,cells+8(%rip); sete %al; movzbl %al,%eax; add %rdi,%rax; ret")
AWKWARD(first_rip_store, "movq $33,cells+16(%rip); mov cells+16(%rip),%rax; add %rdi,%rax; ret")
AWKWARD(first_rip_imul, "imul $3,cells+8(%rip),%rax; add %rdi,%rax; ret")
AWKWARD(first_rip_lock, "lock addq $0,cells+24(%rip); mov cells+24(%rip),%rax; add %rdi,%rax; ret")
AWKWARD(first_rip_sse, "movdqu vector(%rip),%xmm0; movq %xmm0,%rax; add %rdi,%rax; ret")
AWKWARD(first_lock_xadd, "lock xadd %rdi,(%rsi); mov %rdi,%rax; ret")
AWKWARD(first_lock_dec, "lock decl (%rsi); mov (%rsi),%rax; add %rdi,%rax; ret")
AWKWARD(first_lock_cmpxchg, "lock cmpxchg %rdi,(%rsi); sete %al; movzbl %al,%eax; add %rdi,%rax; ret")
AWKWARD(first_xchg_memory, "xchg %rax,(%rsi); add %rdi,%rax; ret")
AWKWARD(first_xchg, "xchg %rdi,%rax; inc %rax; ret")
AWKWARD(first_fs, "mov %fs:0,%rax; sub %fs:0,%rax; lea 1(%rdi,%rax),%rax; ret")
AWKWARD(first_rep_movs, "rep movsb; mov %rdi,%rax; ret")
AWKWARD(first_rep_stos, "rep stosb; mov %rdi,%rax; ret")
READY(rep_nothing, "xor %ecx,%ecx; jmp first_rep_nothing", "rep stosb; mov %rdi,%rax; ret")
READY(xlat, "push %rbx; mov %rsi,%rbx; call first_xlat; pop %rbx; ret", "xlat; movzbl %al,%eax; add %rdi,%rax; ret")

/* Prefixes, vectors, the system, and what gives another answer elsewhere. */
AWKWARD(first_data16, ".byte 0x66,0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0; lea 1(%rdi),%rax; ret")
AWKWARD(first_mov16, "mov $5,%ax; movzwl %ax,%eax; add %rdi,%rax; ret")
AWKWARD(first_f2, "cvtsi2sd %rdi,%xmm0; cvttsd2si %xmm0,%rax; inc %rax; ret")
AWKWARD(first_f3, "popcnt %rcx,%rax; add %rdi,%rax; ret")
AWKWARD(first_x87, "fldz; fstp %st(0); lea 1(%rdi),%rax; ret")
AWKWARD(first_pause, "pause; lea 1(%rdi),%rax; ret")
AWKWARD(first_rdtsc, "rdtsc; lea 1(%rdi),%rax; ret")
READY(cpuid, "push %rbx; call first_cpuid; pop %rbx; ret", "cpuid; lea 1(%rdi),%rax; ret")
AWKWARD(first_syscall, "syscall; 1: lea 1b(%rip),%rdx; sub %rdx,%rcx; lea 38(%rdi,%rcx),%rdi; add %rdi,%rax; ret")
READY(vex_store, "vpcmpeqd %ymm0,%ymm0,%ymm0; jmp first_vex_store",
      "vmovdqu %ymm0,(%rsi); mov 24(%rsi),%rax; vzeroupper; add %rdi,%rax; ret")
READY(vex_zero, "vpcmpeqd %ymm0,%ymm0,%ymm0; jmp first_vex_zero",
      "vzeroupper; vmovdqu %ymm0,(%rsi); mov 24(%rsi),%rax; add %rdi,%rax; ret")
AWKWARD(first_vex_rip, "vmovdqu vector(%rip),%ymm0; vmovdqu %ymm0,(%rsi); mov 24(%rsi),%rax; vzeroupper; add %rdi,%rax; ret")
AWKWARD(first_vex_compare, "vpcmpeqb (%rsi),%ymm0,%ymm1; vzeroupper; lea 1(%rdi),%rax; ret")
AWKWARD(first_evex, "vmovdqu64 vector(%rip),%zmm16; vmovdqu64 %zmm16,(%rsi); mov 56(%rsi),%rax; vzeroupper; add %rdi,%rax; ret")

/* Faults: the handler checks where they are said to be, and skips the instruction. */
AWKWARD(first_divide, "idivl (%rsi); lea 1(%rdi),%rax; ret")
AWKWARD(first_undefined, "ud2; lea 1(%rdi),%rax; ret")
AWKWARD(first_fault, "mov (%rcx),%eax; lea 1(%rdi),%rax; ret")
AWKWARD(first_halt, "hlt; nop; lea 1(%rdi),%rax; ret")
AWKWARD(first_int3, "int3; nop; lea 1(%rdi),%rax; ret")

static int failures;

static void on_fault(int number, siginfo_t *info, void *context)
{
	greg_t *pc = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	if (*pc == (greg_t)first_int3 + 1)
		return;
	if (*pc != (greg_t)first_divide && *pc != (greg_t)first_undefined && *pc != (greg_t)first_fault &&
	    *pc != (greg_t)first_halt) {
		dprintf(STDERR_FILENO, "signal %d at %lx\n", number, (long)*pc);
		_exit(99);
	}
	if (number != SIGSEGV && info->si_addr != (void *)*pc)
		__sync_fetch_and_add(&failures, 1);
	*pc += 2;
}

enum needs { ANY, AVX2, AVX512 };
enum result { SUM, VALUE };

/* What is called, what it returns: argument + number, or the number; how often the probed instruction is executed. */
static const struct row {
	const char *name;
	long (*function)(void);
	long number;
	long rax;
	enum result result;
	enum needs needs;
	int times;
	void *rdx;
} rows[] = {
#define ROW(name, number, ...) {#name, name, number, __VA_ARGS__}
#define READY_ROW(name, number, ...) {"first_" #name, ready_##name, number, __VA_ARGS__}
	ROW(first_push_rsp, 1), READY_ROW(pop_rsp, 1), READY_ROW(pop, 5), ROW(first_push_r12, 1), ROW(first_push_imm, -3),
	ROW(first_push_rip, 22), ROW(first_mov_rsp, 1), ROW(first_sub_rsp, 1), READY_ROW(leave, 1), ROW(first_enter, 1),
	ROW(first_pushf, 1), READY_ROW(popf, 2), READY_ROW(adc, 1), READY_ROW(jc_taken, 1), READY_ROW(jc_not_taken, 1),
	READY_ROW(cmov, 0), READY_ROW(lahf, 1), ROW(first_std, 1), ROW(first_call, 0), ROW(first_call_memory, 7),
	ROW(first_call_register, 7, .rdx = reached), ROW(first_bnd_call, 7), ROW(first_jmp, 1), ROW(first_jmp_far, 1),
	ROW(first_jmp_memory, 7), ROW(first_jmp_register, 7, .rdx = add_reached),
	ROW(first_notrack_jmp, 7, .rdx = add_reached), ROW(first_bnd_jmp, 1), ROW(first_ret, 77, 77, VALUE),
	ROW(first_rep_ret, 78, 78, VALUE), ROW(first_bnd_ret, 79, 79, VALUE), READY_ROW(ret_imm, 80, 80, VALUE),
	ROW(first_loop, 8), READY_ROW(loopne, 8), ROW(first_jrcxz, 1), ROW(first_jecxz, 1), ROW(first_endbr, 1),
	ROW(first_again, 1, .times = 9), ROW(first_once, 9), ROW(first_nop_once, 9), ROW(first_rip_load, 22),
	ROW(first_rip_lea, 22), ROW(first_rip_cmp, 1), ROW(first_rip_store, 33), ROW(first_rip_imul, 66),
	ROW(first_rip_lock, 44), ROW(first_rip_sse, 1), ROW(first_lock_xadd, 0x7f, 0, VALUE), ROW(first_lock_dec, 0x7e),
	ROW(first_lock_cmpxchg, 1, 0x7f), ROW(first_xchg_memory, 0x7f, 5), ROW(first_xchg, 1), ROW(first_fs, 1),
	ROW(first_rep_movs, 9), ROW(first_rep_stos, 9), READY_ROW(rep_nothing, 0), READY_ROW(xlat, 0, 2),
	ROW(first_data16, 1), ROW(first_mov16, 5), ROW(first_f2, 1), ROW(first_f3, 2), ROW(first_x87, 1),
	ROW(first_pause, 1), ROW(first_rdtsc, 1), READY_ROW(cpuid, 1), ROW(first_syscall, 0, 9999),
	READY_ROW(vex_store, -1, .needs = AVX2), READY_ROW(vex_zero, 0, .needs = AVX2),
	ROW(first_vex_rip, 4, .needs = AVX2), ROW(first_vex_compare, 1, .needs = AVX2),
	ROW(first_evex, 8, .needs = AVX512), ROW(first_divide, 1), ROW(first_undefined, 1), ROW(first_fault, 1),
	ROW(first_halt, 1), ROW(first_int3, 1),
};

static int can(enum needs needs)
{
	return needs == ANY || (needs == AVX2 && __builtin_cpu_supports("avx2")) ||
	       (needs == AVX512 && __builtin_cpu_supports("avx512f"));
}

static long call(const struct row *row, long argument, long *memory)
{
	void *rdx = row->rdx;
	long result = row->rax, count = 9;

	asm volatile("mov %%rsp,%%r13; sub $256,%%rsp; and $-64,%%rsp; call *%[function]; mov %%r13,%%rsp"
		     : "+a"(result), "+D"(argument), "+S"(memory), "+d"(rdx), "+c"(count)
		     : [function] "r"(row->function)
		     : "memory", "cc", "r8", "r9", "r10", "r11", "r13", "xmm0", "xmm1");
	return result;
}

static long rounds;
static pthread_barrier_t all;

/* All begin when all are there, and leave when all are done. */
static void *work(void *unused)
{
	/* Source and destination of string instructions: what is written lies behind what is read. */
	long memory[32] __attribute__((aligned(64))), n;
	const struct row *row;

	pthread_barrier_wait(&all);
	for (n = 0; n < rounds; n++)
		for (row = rows; row < rows + sizeof rows / sizeof *rows; row++) {
			int string = strncmp(row->name, "first_rep_", 10) == 0 && row->result == SUM;
			long argument = string ? (long)&memory[16] : n, result;

			if (!can(row->needs))
				continue;
			memset(memory, 0, sizeof memory);
			if (row->function != first_divide)
				memory[0] = 0x7f;
			result = call(row, argument, memory);
			if (result != (row->result == VALUE ? row->number : argument + row->number) &&
			    __sync_fetch_and_add(&failures, 1) < 20)
				dprintf(STDERR_FILENO, "%s(%ld) gave %lx\n", row->name, argument, result);
		}
	pthread_barrier_wait(&all);
	return NULL;
}

int main(int argc, char **argv)
{
	static const int signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	int threads = argc > 1 ? atoi(argv[1]) : 1, i;
	const struct row *row;
	pthread_t made[64];

	rounds = argc > 2 ? atol(argv[2]) : 100;
	for (i = 0; i < 4; i++)
		sigaction(signals[i], &action, NULL);
	pthread_barrier_init(&all, NULL, threads);
	wait_for_go();
	for (i = 1; i < threads; i++)
		pthread_create(&made[i], NULL, work, NULL);
	work(NULL);
	for (i = 1; i < threads; i++)
		pthread_join(made[i], NULL);
	for (row = rows; row < rows + sizeof rows / sizeof *rows; row++)
		if (can(row->needs))
			printf("%s %ld\n", row->name, threads * rounds * (row->times ? row->times : 1));
	printf("wrong %d\n", failures);
	return failures != 0;
}
