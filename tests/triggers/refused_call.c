/* A function that is a system call which a seccomp filter answers with SIGSYS: the handler compares where the call is said
 * to have been made. The filter comes after the program has been let go, so that it can be traced without any right. */
#define _GNU_SOURCE
#include "trigger.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

__attribute__((naked, noinline)) long probed(void) { asm("syscall; ret"); }

static int right;

static void on_refusal(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	right = info->si_call_addr == (char *)probed + 2 && registers[REG_RIP] == (long)probed + 2
		&& registers[REG_RCX] == (long)probed + 2 && info->si_syscall == SYS_getpgrp;
	registers[REG_RAX] = 42;
}

int main(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {4, rules};
	struct sigaction action = {.sa_sigaction = on_refusal, .sa_flags = SA_SIGINFO};
	long result;

	wait_for_go();
	sigaction(SIGSYS, &action, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return 2;
	asm volatile("call probed" : "=a"(result) : "a"((long)SYS_getpgrp) : "rcx", "r11", "memory");
	printf("%ld %s\n", result, right ? "right" : "wrong");
	return 0;
}
