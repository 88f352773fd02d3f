/* SIGTRAP, blocked, is sent by this program and by a child of it, to the process and to its thread; between that and
 * sigwaitinfo(), which tells who has sent it, the probed function is called. */
#define _GNU_SOURCE
#include "trigger.h"
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

NOINLINE long probed(long n)
{
	return n + 1;
}

static void send(int to_thread, pid_t pid)
{
	probed(1);
	syscall(to_thread ? SYS_tgkill : SYS_kill, pid, to_thread ? pid : SIGTRAP, SIGTRAP);
	probed(2);
}

int main(void)
{
	int by_child, to_thread;
	pid_t pid = getpid(), sender;
	siginfo_t info;
	sigset_t trap;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	sigprocmask(SIG_BLOCK, &trap, NULL);
	wait_for_go();
	for (by_child = 0; by_child < 2; by_child++)
		for (to_thread = 0; to_thread < 2; to_thread++) {
			sender = by_child ? fork() : pid;
			if (sender == 0) {
				send(to_thread, pid);
				_exit(0);
			}
			if (by_child)
				waitpid(sender, NULL, 0);
			else
				send(to_thread, pid);
			probed(3);
			probed(4);
			sigwaitinfo(&trap, &info);
			printf("code %d, %s, %s\n", info.si_code, info.si_pid == sender ? "sender" : "another",
			       info.si_uid == getuid() ? "user" : "another");
		}
	return 0;
}
