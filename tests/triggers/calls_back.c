/* A library that calls back, three frames deep. */
typedef int callback(int);
__attribute__((noinline)) int deep(int n, callback *back)
{
	volatile char room[100];

	room[n] = 1;
	return n ? deep(n - 1, back) + room[n] : back(1) + 1;
}
int through(callback *back) { return deep(2, back) + 1; }
