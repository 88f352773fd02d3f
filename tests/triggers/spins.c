/* Spends its time in one function: for probes that look at what a processor is doing. Goes on until it is killed. */

__attribute__((noinline, noclone)) void spin(void)
{
	for (volatile long count = 0;; count++)
		;
}

int main(void)
{
	spin();
	return 0;
}
