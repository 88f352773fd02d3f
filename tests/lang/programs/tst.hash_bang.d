#!/usr/bin/env -S dtrap -s
/*
 * ASSERTION: A first line that names the interpreter is passed over.
 * SECTION: Programs
 */
BEGIN { }
