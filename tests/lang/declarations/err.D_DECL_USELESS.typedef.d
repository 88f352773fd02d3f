/*
 * ASSERTION: A typedef names something.
 * SECTION: Types and declarations
 */
typedef int;
BEGIN { }
