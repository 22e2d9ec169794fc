// Command probe runs in pods of the end-to-end tests: a client that reads its
// proxy from the environment, as most do, a client that does not, and a server.
// It is also the local cluster's pause container.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const usage = `usage: probe COMMAND

  get [--direct] URL              fetch; --direct: without the proxy. Prints the status and the body.
  get --proxy PROXY URL           fetch through this proxy
  dial NETWORK ADDRESS            connect (tcp) and close. Prints how often the SYN was repeated.
  dials ADDRESS DURATION [PATIENCE]
                                  connect (tcp) 100 times a second, and print how often it worked within PATIENCE
                                  (900ms), and with the first packet. Ignores SIGTERM.
  flood ADDRESS DURATION          send large, nested and unfinished requests (TLS). Prints the number of connections.
  hold URL DURATION               fetch 10 times a second on one connection
  loads URL RATE DURATION PATIENCE
                                  fetch RATE times a second on new connections. Prints each request as a line of JSON.
  outlive [--direct] URL          fetch 10 times a second until a second connection serves. Prints the requests that failed.
  resolve SERVER NAME             ask a DNS server over UDP
  resolves COUNT DOMAIN [SERVER]  look up made-up names below a domain; without SERVER as resolv.conf has it
  forge SOURCE DESTINATION        send an empty UDP packet with a made-up source (ADDRESS:PORT each)
  serve ADDRESS                   answer every HTTP request with "hello from HOSTNAME"
  within NAMESPACE COMMAND...     run a command in the network namespace of this path
  list FOLDER                     print the names in a folder
  environment                     print the environment of process 1, a variable a line
  pause                           wait for a signal, reaping orphans

Exit status: 0 it worked, 1 it did not (refused, timed out, ...), 2 usage.
`

const (
	// timeout is longer than a SYN and its first three repetitions (at 1, 3 and 7
	// s): a connection without an answer by then was dropped.
	timeout = 8 * time.Second
	// patience bounds what is answered unless something is broken: a connection to the
	// proxy of the environment, and a request on a connection. On a busy machine, a
	// program may get no CPU for seconds.
	patience = time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	switch {
	case command == "get" && len(args) == 2:
		return get(ctx, args[1], http.ProxyFromEnvironment, patience)
	case command == "get" && len(args) == 3 && args[1] == "--direct":
		return get(ctx, args[2], nil, timeout)
	case command == "get" && len(args) == 4 && args[1] == "--proxy":
		return getBy(ctx, args[2], args[3])
	case command == "dial" && len(args) == 3:
		return dial(ctx, args[1], args[2])
	case command == "dials" && len(args) == 3:
		return dials(args[1], args[2], dialTimeout.String()) //nolint:contextcheck // it does not end at a signal
	case command == "dials" && len(args) == 4:
		return dials(args[1], args[2], args[3]) //nolint:contextcheck // it does not end at a signal
	case command == "flood" && len(args) == 3:
		return flood(ctx, args[1], args[2])
	case command == "hold" && len(args) == 3:
		return hold(ctx, args[1], args[2])
	case command == "loads" && len(args) == 5:
		return loads(ctx, args[1], args[2], args[3], args[4])
	case command == "outlive" && len(args) == 2:
		return outlive(ctx, args[1], http.ProxyFromEnvironment)
	case command == "outlive" && len(args) == 3 && args[1] == "--direct":
		return outlive(ctx, args[2], nil)
	case command == "resolve" && len(args) == 3:
		return resolve(ctx, args[1], args[2])
	case command == "resolves" && len(args) == 3:
		return resolves(ctx, args[2], args[1], "")
	case command == "resolves" && len(args) == 4:
		return resolves(ctx, args[2], args[1], args[3])
	case command == "forge" && len(args) == 3:
		return forge(args[1], args[2])
	case command == "serve" && len(args) == 2:
		return serve(ctx, args[1])
	case command == "within" && len(args) > 2:
		return within(args[1], args[2:])
	case command == "list" && len(args) == 2:
		return list(args[1])
	case command == "environment":
		return environment()
	case command == "pause":
		pause(ctx)
		return nil
	}
	fmt.Fprint(os.Stderr, usage)
	return flag.ErrHelp
}

// get fetches. The time to connect is bounded by connecting.
func get(ctx context.Context, target string, proxy func(*http.Request) (*url.URL, error), connecting time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: connecting}
	client := http.Client{Transport: &http.Transport{Proxy: proxy, DialContext: dialer.DialContext}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Fprintln(os.Stdout, response.StatusCode)
	if _, err := io.Copy(os.Stdout, io.LimitReader(response.Body, 1<<20)); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return errors.New(response.Status)
	}
	return nil
}

func dial(ctx context.Context, network, address string) error {
	dialer := net.Dialer{Timeout: timeout}
	connection, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer connection.Close()
	if tcp, ok := connection.(*net.TCPConn); ok {
		repeated, err := repetitions(tcp)
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, "repeated:", repeated)
	}
	return nil
}

// repetitions returns the number of packets that the kernel has repeated on a new
// connection: its SYN.
func repetitions(connection *net.TCPConn) (uint32, error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0, err
	}
	var info *unix.TCPInfo
	var infoErr error
	if err := raw.Control(func(socket uintptr) {
		info, infoErr = unix.GetsockoptTCPInfo(int(socket), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); err != nil {
		return 0, err
	}
	if infoErr != nil {
		return 0, fmt.Errorf("reading the connection's state: %w", infoErr)
	}
	return info.Total_retrans, nil
}

func resolve(ctx context.Context, server, name string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp", server)
	}}
	addresses, err := resolver.LookupNetIP(ctx, "ip4", name+".")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, addresses)
	return nil
}

func serve(ctx context.Context, address string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	server := http.Server{Addr: address, ReadHeaderTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from %s\n", host)
	})}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// environment prints the variables that the container runtime gave to the
// container's own process, not a shell's variables.
func environment() error {
	environ, err := os.ReadFile("/proc/1/environ")
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(bytes.ReplaceAll(environ, []byte{0}, []byte{'\n'}))
	return err
}

// pause keeps a pod's namespaces open. As process 1 of a shared process
// namespace it inherits orphans.
func pause(ctx context.Context) {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-ctx.Done():
			return
		case <-children:
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}
