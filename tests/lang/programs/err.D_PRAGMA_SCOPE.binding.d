/*
 * ASSERTION: A binding is that of something of the program's own.
 * SECTION: Scripts
 */
#pragma D binding "1.0" pid
BEGIN { }
