/*
 * ASSERTION: The names of integer types that C programs and the kernel's headers use are known.
 * SECTION: Types/Integers
 * @@flags: -q
 */
BEGIN
{
	printf("%d %d %d\n", (uint)-12345, (ushort)-1, (ulong)-1 > 0);
	printf("%d %d\n", (u_int)-1, (u_short)-2);
	printf("%d %d %d\n", sizeof(__be16), sizeof(__be32), sizeof(__be64));
	printf("%d %d %d\n", sizeof(__le16), sizeof(__le32), sizeof(__le64));
	printf("%d %d %d\n", (clock_t)-1 < 0, (clockid_t)-1 < 0, (ino_t)-1 > 0);
	printf("%d %d %d\n", (key_t)-1, (nlink_t)-1, (sa_family_t)-1);
	printf("%d %d\n", (suseconds_t)-1, (timer_t)-1);
	exit(0);
}
