/*
 * ASSERTION: %k prints stacks only.
 * SECTION: Formats
 */
BEGIN { @[1] = count(); printa("%k", @); }
