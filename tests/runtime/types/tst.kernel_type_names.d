/*
 * ASSERTION: The names of integers that DTrace for Linux has from the kernel are there, with its sizes and signs; but s8
 * is signed here, as it is in the kernel.
 * SECTION: Types
 */
#pragma D option quiet

BEGIN
{
	printf("%d %d %d %d %d\n", (uint)-1, sizeof(ulong), sizeof(ushort), sizeof(u_int), sizeof(u_short));
	printf("%d %d %d %d\n", (u8)300, (u16)70000, (u32)-1, sizeof(u64));
	printf("%d %d %d %d\n", (s8)200, (s16)40000, (s32)-1, sizeof(s64));
	printf("%d %d %d %d\n", sizeof(__be16), sizeof(__le32), sizeof(__be64), sizeof(u_int8_t));
	printf("%d %d %d %d\n", sizeof(clock_t), sizeof(key_t), sizeof(nlink_t), sizeof(ino_t));
	exit(0);
}
