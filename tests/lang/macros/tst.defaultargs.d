/*
 * ASSERTION: With option defaultargs an operand that is not there is 0 or empty.
 * SECTION: Macros
 */
#pragma D option defaultargs
BEGIN { x = $1; trace(strlen($$2)); }
