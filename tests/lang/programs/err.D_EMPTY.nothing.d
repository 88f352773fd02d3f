/*
 * ASSERTION: A program holds something.
 * SECTION: Programs
 */

