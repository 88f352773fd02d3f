/*
 * ASSERTION: Errors are at the lines of the script, whatever the preprocessor calls its input.
 * SECTION: Preprocessor
 *
 * @@flags: -C
 */
#define ONE 1
BEGIN { trace(ONE;
exit(0); }
