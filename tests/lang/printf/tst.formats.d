/*
 * ASSERTION: Each conversion takes the types that it prints.
 * SECTION: printf
 */
BEGIN
{
	printf("%d %i %u %o %x %X %c %p %% %5d %-5d|%05d %+d %#x", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13);
	printf("%s %10s %-10s %.3s %*d %S\n", execname, "a", "b", "c", 5, 6, "e");
	printf("%hd %ld %lld %llu %Y\n", (short)1, arg0, (long long)1, (unsigned long long)2, walltimestamp);
}
