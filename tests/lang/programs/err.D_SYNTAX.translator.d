/*
 * ASSERTION: Translators are named as not supported.
 * SECTION: Types and declarations
 */
translator int < int x > { };
