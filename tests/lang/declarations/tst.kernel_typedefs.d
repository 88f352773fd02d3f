/*
 * ASSERTION: Fixed-width types of the kernel are known by their names.
 * SECTION: Declarations
 */
__u8 small; __s64 large; struct pair { __u32 a; __s16 b; off_t where; } pair;

BEGIN { small = 300; large = sizeof(struct pair); pair.where = (loff_t)large; }
