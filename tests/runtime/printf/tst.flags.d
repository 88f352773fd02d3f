/*
 * ASSERTION: Flags, widths and precisions of printf().
 * SECTION: printf
 * @@flags: -q
 */
BEGIN
{
	printf("[%5d] [%-5d] [%05d] [%+d] [% d] [%x] [%#x] [%X] [%o] [%u]\n", 42, 42, 42, 42, 42, 255, 255, 255, 8, -1);
	printf("[%8s] [%-8s] [%.2s] [%*d] [%%] [%c]\n", "abc", "abc", "abc", 6, 7, 65);
	printf("[%p] [%lld] [%hd] [%i]\n", 4096, arg0, (short)70000, -3);
	exit(0);
}
