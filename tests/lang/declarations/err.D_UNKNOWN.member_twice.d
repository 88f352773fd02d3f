/*
 * ASSERTION: Members have different names.
 * SECTION: Types/Structures
 */
struct a {
	int x;
	char x;
};
