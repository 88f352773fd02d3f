/*
 * ASSERTION: basename() and dirname() follow the utilities, cleanpath() takes off what a path can do without.
 * SECTION: Subroutines
 * @@flags: -q
 */
BEGIN
{
	printf("[%s] [%s] [%s] [%s]\n", basename("/usr/lib///"), basename(""), basename("foo"), basename("//"));
	printf("[%s] [%s] [%s] [%s]\n", dirname("/usr/lib/"), dirname("foo"), dirname("//foo"), dirname("a//b//"));
	printf("[%s] [%s] [%s]\n", cleanpath("/foo/bar/../baz//x/./y/"), cleanpath("/a/.."), cleanpath("/../../a..b/..."));
}

BEGIN
{
	printf("[%s] [%s] [%s]\n", cleanpath("foo/../bar"), cleanpath("/foo/bar/.."), cleanpath("a/."));
	printf("[%s] [%s] [%s] [%s]\n", cleanpath("../a/../../b"), cleanpath("a/.."), cleanpath(""), cleanpath("./"));
	exit(0);
}
