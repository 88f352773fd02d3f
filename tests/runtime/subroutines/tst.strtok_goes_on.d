/*
 * ASSERTION: strtok() goes on at the character that ended the last token, up to the last character of the longest string.
 * SECTION: Subroutines/strtok
 * @@flags: -q -x strsize=16
 */
BEGIN
{
	printf("%s|", strtok("key=value; other", "="));
	printf("%s|", strtok(NULL, "; "));
	printf("%s\n", strtok(NULL, "; "));
	printf("%s|", strtok("..ab..cd", "."));
	printf("%s|", strtok(NULL, ";"));
	printf("%d\n", strtok(NULL, ";") == NULL);
	printf("%s|", strtok("______________Z", "Z"));
	printf("%s\n", strtok(NULL, "a"));
	exit(0);
}
