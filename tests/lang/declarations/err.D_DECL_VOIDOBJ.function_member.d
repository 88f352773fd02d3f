/*
 * ASSERTION: A structure has no functions.
 * SECTION: Values/Structures
 */
struct s { int (*pointer)(void); int function(void); };
BEGIN { exit(0); }
