/*
 * ASSERTION: A program may define structures by the names of those that are known.
 * SECTION: Programs/Declarations
 */
struct in_addr { long other; char more; };
BEGIN { trace(sizeof (struct in_addr) == 16 ? 1 : sizeof (struct nosuch)); trace(sizeof (struct in6_addr)); }
