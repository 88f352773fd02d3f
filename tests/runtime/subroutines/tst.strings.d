/*
 * ASSERTION: Strings are joined, cut, searched and taken apart alike on every engine, those of the process included.
 * SECTION: Subroutines
 * @@flags: -q
 * @@trigger: calls
 */
string last;

BEGIN
{
	printf("[%s] [%s] [%s]\n", strjoin("a", strjoin("b", "c")), tolower("Hello, WORLD@[`{"), toupper("Hello, world@[`{"));
	printf("%d %d %d %d\n", strtoll("  -42abc"), strtoll("0x1F", 16), strtoll("+777", 8), strtoll("zz", 36));
	printf("[%s] [%s] [%s]\n", lltostr(-1), lltostr(-1, 16), lltostr(0));
	printf("[%s] [%s] [%s]\n", substr("abcdef", -10, 6), substr("abcdef", 2, 100), substr("abcdef", 3, -9));
}

BEGIN
{
	printf("%d %d %d %d\n", index("abcabcabd", "abcabd"), rindex("aaaa", "aa"), index("aaa", ""), rindex("aaa", ""));
	printf("%d %d %d\n", rindex("abcabc", "abc", 2), rindex("abcabc", "abc", -1), index("abcabc", "abc", 1));
	printf("[%s] [%s] [%s]\n", strstr("one two", "two"), strchr("a/b/c", '/'), strrchr("a/b/c", '/'));
}

pid$target:calls:text:entry
{
	this->text = copyinstr(arg0);
	this->first = strtok(this->text, " ,");
	this->next = strtok(NULL, " ,");
	this->next = this->next == NULL ? "NULL" : this->next;
	this->first = this->first == NULL ? "" : this->first;
	printf("[%s] [%s] [%s]\n", this->text, this->first, this->next);
	@words[strjoin(this->first, "!")] = count();
	last = strjoin(last, substr(this->text, 0, 1));
}

END
{
	printa("%s %@d\n", @words);
	trace(last);
}
