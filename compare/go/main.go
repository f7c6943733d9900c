// The programs of throng-compare in Go: compare <work> go [operations] prints the same lines as the Rust program does.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	workers    = 2
	yielders   = 100
	ringSize   = 1000
	capacity   = 128
	side       = 4
	primes     = 1000
	contenders = 8
	bufferSize = 4096
)

type program struct {
	name       string
	operations uint64
	run        func(n uint64) time.Duration
}

var programs = []program{
	{"yield", 5_000_000, yields},
	{"spawn-join", 1_000_000, spawnJoin},
	{"spawn-all", 1_000_000, spawnAll},
	{"ping-pong", 1_000_000, pingPong},
	{"ring", 2_000_000, ring},
	{"spsc", 10_000_000, spsc},
	{"mpmc", 5_000_000, mpmc},
	{"select", 1_000_000, selects},
	{"sieve", 5, sieves},
	{"fork-join", 20, forkJoin},
	{"mutex", 5_000_000, mutex},
	{"sleep", 100_000, sleeps},
}

func main() {
	runtime.GOMAXPROCS(workers)
	if len(os.Args) < 3 || os.Args[2] != "go" {
		fail("usage: compare <work> go [operations]")
	}
	work := os.Args[1]
	var operations uint64
	if len(os.Args) > 3 {
		var err error
		if operations, err = strconv.ParseUint(os.Args[3], 10, 64); err != nil {
			fail(err)
		}
	}
	switch work {
	case "parked":
		if operations == 0 {
			operations = 1_000_000
		}
		parked(operations)
	case "idle":
		idle()
	case "serve-echo":
		fmt.Println(serve(echo))
		select {}
	case "serve-http":
		fmt.Println(serve(answer))
		select {}
	default:
		for _, p := range programs {
			if p.name == work {
				if operations == 0 {
					operations = p.operations
				}
				p.run((operations + 9) / 10)
				fmt.Printf("%s go %.2f\n", work, float64(p.run(operations).Nanoseconds())/float64(operations))
				return
			}
		}
		fail("no such work: " + work)
	}
}

func fail(message any) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}

func yields(n uint64) time.Duration {
	start := time.Now()
	each := (n + yielders - 1) / yielders
	var group sync.WaitGroup
	for range yielders {
		group.Go(func() {
			for range each {
				runtime.Gosched()
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

// A goroutine has no handle: a channel that it closes is what Go's users join by.
func spawnJoin(n uint64) time.Duration {
	start := time.Now()
	for range n {
		done := make(chan struct{})
		go close(done)
		<-done
	}
	return time.Since(start)
}

func spawnAll(n uint64) time.Duration {
	start := time.Now()
	var group sync.WaitGroup
	group.Add(int(n))
	for range n {
		go group.Done()
	}
	group.Wait()
	return time.Since(start)
}

func pingPong(n uint64) time.Duration {
	ping, pong := make(chan uint64), make(chan uint64)
	start := time.Now()
	go func() {
		for value := range ping {
			pong <- value
		}
	}()
	for value := range n {
		ping <- value
		if <-pong != value {
			panic("another value")
		}
	}
	close(ping)
	return time.Since(start)
}

func ring(n uint64) time.Duration {
	first := make(chan uint64)
	receiver := first
	for range ringSize - 1 {
		from, to := receiver, make(chan uint64)
		go func() {
			for hops := range from {
				to <- hops + 1
			}
			close(to)
		}()
		receiver = to
	}
	start := time.Now()
	for hops := uint64(0); hops < n; hops = <-receiver {
		first <- hops + 1
	}
	elapsed := time.Since(start)
	close(first)
	return elapsed
}

func spsc(n uint64) time.Duration {
	channel := make(chan uint64, capacity)
	start := time.Now()
	go func() {
		for value := range n {
			channel <- value
		}
		close(channel)
	}()
	expected := uint64(0)
	for value := range channel {
		if value != expected {
			panic("out of order")
		}
		expected++
	}
	return time.Since(start)
}

func mpmc(n uint64) time.Duration {
	channel := make(chan uint64, capacity)
	each := (n + side - 1) / side
	start := time.Now()
	var producers, consumers sync.WaitGroup
	for range side {
		producers.Go(func() {
			for value := range each {
				channel <- value
			}
		})
		consumers.Go(func() {
			for range channel {
			}
		})
	}
	producers.Wait()
	close(channel)
	consumers.Wait()
	return time.Since(start)
}

func selects(n uint64) time.Duration {
	each := (n + 3) / 4
	start := time.Now()
	var channels [4]chan uint64
	for i := range channels {
		channels[i] = make(chan uint64)
		go func() {
			for value := range each {
				channels[i] <- value
			}
		}()
	}
	a, b, c, d := channels[0], channels[1], channels[2], channels[3]
	for range 4 * each {
		select {
		case <-a:
		case <-b:
		case <-c:
		case <-d:
		}
	}
	return time.Since(start)
}

// The sieve of Go's own examples; like there, its goroutines are left behind.
func sieves(n uint64) time.Duration {
	start := time.Now()
	for range n {
		receiver := make(chan uint64)
		go func(to chan<- uint64) {
			for number := uint64(2); ; number++ {
				to <- number
			}
		}(receiver)
		prime := uint64(0)
		for range primes {
			prime = <-receiver
			next := make(chan uint64)
			go func(from <-chan uint64, to chan<- uint64, prime uint64) {
				for number := range from {
					if number%prime != 0 {
						to <- number
					}
				}
			}(receiver, next, prime)
			receiver = next
		}
		if prime != 7919 {
			panic("no prime")
		}
	}
	return time.Since(start)
}

func forkJoin(n uint64) time.Duration {
	start := time.Now()
	for range n {
		if forkingFib(32) != 2_178_309 {
			panic("another sum")
		}
	}
	return time.Since(start)
}

func forkingFib(n uint64) uint64 {
	if n < 13 {
		return fib(n)
	}
	left := make(chan uint64, 1)
	go func() { left <- forkingFib(n - 1) }()
	right := forkingFib(n - 2)
	return <-left + right
}

func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func mutex(n uint64) time.Duration {
	each := (n + contenders - 1) / contenders
	start := time.Now()
	var lock sync.Mutex
	var group sync.WaitGroup
	var count uint64
	for range contenders {
		group.Go(func() {
			for range each {
				lock.Lock()
				count++
				lock.Unlock()
			}
		})
	}
	group.Wait()
	if count != contenders*each {
		panic("lost")
	}
	return time.Since(start)
}

func sleeps(n uint64) time.Duration {
	before := cpuTime()
	state := uint64(0x9e37_79b9_7f4a_7c15)
	var group sync.WaitGroup
	for range n {
		state = state*6_364_136_223_846_793_005 + 1_442_695_040_888_963_407
		duration := time.Duration((state >> 33) % 1_000_000_000)
		group.Go(func() { time.Sleep(duration) })
	}
	group.Wait()
	return cpuTime() - before
}

func parkTasks(n uint64) {
	var group sync.WaitGroup
	group.Add(int(n))
	never := make(chan struct{})
	for range n {
		go func() {
			group.Done()
			<-never
		}()
	}
	group.Wait()
}

func parked(n uint64) {
	parkTasks(1)
	resident, tables, _ := memory()
	parkTasks(n)
	residentNow, tablesNow, mappings := memory()
	fmt.Printf("parked go %d page-tables=%d mappings=%d tasks=%d\n", (residentNow-resident)/n, (tablesNow-tables)/n, mappings, n)
}

func idle() {
	address := serve(echo)
	var sockets []net.Conn
	for range 100 {
		socket, err := net.Dial("tcp", address)
		if err != nil {
			fail(err)
		}
		sockets = append(sockets, socket)
	}
	parkTasks(10_000)
	for range 1000 {
		go time.Sleep(time.Hour)
	}
	time.Sleep(time.Second)
	before := cpuTime()
	time.Sleep(10 * time.Second)
	fmt.Printf("idle go %d\n", (cpuTime() - before).Nanoseconds())
	runtime.KeepAlive(sockets)
}

func serve(handle func(net.Conn)) string {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	go func() {
		for {
			connection, err := listener.Accept() // without Nagle's delay, as always in Go
			if err != nil {
				fail(err)
			}
			go handle(connection)
		}
	}()
	return listener.Addr().String()
}

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, bufferSize)
	for {
		read, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err = connection.Write(buffer[:read]); err != nil {
			return
		}
	}
}

var page = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!")
var pages = bytes.Repeat(page, bufferSize/4)

// As little of HTTP as the Rust programs do, not net/http, so that only the runtime differs.
func answer(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, bufferSize)
	filled := 0
	for {
		read, err := connection.Read(buffer[filled:])
		if read == 0 || err != nil {
			return
		}
		filled += read
		used, requests := 0, 0
		for {
			end := bytes.Index(buffer[used:filled], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			used += end + 4
			requests++
		}
		if _, err = connection.Write(pages[:requests*len(page)]); err != nil {
			return
		}
		copy(buffer, buffer[used:filled])
		filled -= used
	}
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Bytes resident and in page tables, and the number of mappings.
func memory() (resident, tables, mappings uint64) {
	maps := read("/proc/self/maps")
	return field(read("/proc/self/smaps_rollup"), "Rss:"), field(read("/proc/self/status"), "VmPTE:"), uint64(strings.Count(maps, "\n"))
}

func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		fail(err)
	}
	return string(text)
}

func field(text, name string) uint64 {
	_, rest, _ := strings.Cut(text, name)
	kilobytes, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		fail(err)
	}
	return kilobytes * 1024
}
