// Eight goroutines, which move from thread to thread, call fib, deep, whose stack has to grow, and panics, which
// returns by way of a panic half of the time. Prints fib(15).
package main

//go:noinline
func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

//go:noinline
func deep(n int) int {
	var room [200]byte
	room[n%200] = 1
	if n == 0 {
		return 0
	}
	return deep(n-1) + int(room[n%200])
}

//go:noinline
func panics(n int) int {
	defer func() { recover() }()
	if n%2 == 1 {
		panic(n)
	}
	return n
}

func main() {
	done := make(chan bool)
	for i := 0; i < 8; i++ {
		go func() {
			for j := 0; j < 4; j++ {
				fib(8)
				panics(j)
			}
			deep(500)
			done <- true
		}()
	}
	for i := 0; i < 8; i++ {
		<-done
	}
	println(fib(15))
}
