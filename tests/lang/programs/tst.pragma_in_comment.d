/*
 * ASSERTION: A pragma inside a comment is none.
 * SECTION: Pragmas
 */
/*
#pragma D option nosuch
 */
#pragma D option quiet
// #pragma D option nosuch either
BEGIN { }
